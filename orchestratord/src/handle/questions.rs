//! What is asked of an engine beside tasks: how many tokens a task has, and what its vocabulary and its chat template make
//! of text. Nothing is admitted for it. A model that is not loaded is loaded first.
//!
//! Rules: ORCH-OAI-11, ORCH-OAI-27

use std::sync::Arc;
use std::time::Duration;

use engine_api::{Engine, MeasureError, Measured, TextAnswer, TextQuery};
use orchestrator_core::{Millis, PoolId};

use super::{DriverHandle, Found, LastMeasured, MEASURE_LIMIT, route_of};
use crate::backpressure::Refusal;
use crate::pool_defaults::{PoolDefaults, WithSystemPrompt};
use crate::protocol::{Command, Measurement, Routed, StayChange, TaskRequest};

/// How often it is looked whether a model is loaded.
const LOAD_POLL: Duration = Duration::from_millis(100);

/// How long a question waits for a model.
const LOAD_LIMIT: Duration = Duration::from_secs(600);

/// A pool, a ready engine of it, and what holds for requests to it that do not say otherwise.
type LoadedPool = (PoolId, Arc<dyn Engine>, Arc<PoolDefaults>);

impl DriverHandle {
    /// Counts the tokens of a task as its admission would.
    ///
    /// # Errors
    /// Every [`Refusal`] that a task can meet.
    pub async fn count(&self, request: &mut TaskRequest) -> Result<Measured, Refusal> {
        loop {
            let found = self.find_place(request, &mut LastMeasured::default()).await;
            match found.map_err(|(refusal, _)| refusal)? {
                Found::Place { measurement: Measurement { measured: Some(measured), .. }, .. } => {
                    return Ok(measured);
                }
                Found::Place { .. } => drop(self.loaded(request).await?),
                Found::Known(_) => return Err(Refusal::Internal),
            }
        }
    }

    /// Has an engine answer what `query` asks about text. The request says which model, and has the defaults of its pool
    /// when the query is made.
    ///
    /// # Errors
    /// Every [`Refusal`] that a route can meet.
    pub async fn text(
        &self,
        mut request: TaskRequest,
        query: impl FnOnce(&TaskRequest) -> TextQuery,
    ) -> Result<TextAnswer, Refusal> {
        let (pool, engine, defaults) = self.loaded(&request).await?;
        defaults.apply(&mut request, &mut WithSystemPrompt::default());
        let busy = || {
            let retry_after = Millis::from_duration(MEASURE_LIMIT);
            Refusal::ReplicaExhausted { pool: pool.clone(), retry_after }
        };
        let answer = tokio::time::timeout(MEASURE_LIMIT, engine.text(query(&request))).await;
        answer.map_err(|_| busy())?.map_err(|error| match error {
            MeasureError::Invalid(what) => Refusal::Invalid(what),
            MeasureError::Busy => busy(),
            MeasureError::Gone | MeasureError::Unavailable(_) | MeasureError::Failed(_) => {
                Refusal::EnginesFailed { pool: pool.clone() }
            }
        })
    }

    /// An engine of the pool that the request goes to, once its model is loaded.
    async fn loaded(&self, request: &TaskRequest) -> Result<LoadedPool, Refusal> {
        let mut waited = Duration::ZERO;
        loop {
            let route = route_of(request);
            let (pool, load_wait) = match self.ask(|reply| Command::Route(route, reply)).await?? {
                Routed::Measure { pool, engine, defaults } => return Ok((pool, engine, defaults)),
                Routed::Unmeasured { pool, load_wait, .. } => (pool, load_wait),
                Routed::Known(_) => return Err(Refusal::Internal),
            };
            if waited >= LOAD_LIMIT {
                let what = "its model is being loaded".to_owned();
                return Err(Refusal::PoolUnready { pool, what, retry_after: load_wait });
            }
            if waited.is_zero() {
                let load = StayChange { load: true, ..StayChange::default() };
                self.set_model_stay(pool, load).await?;
            }
            tokio::time::sleep(LOAD_POLL).await;
            waited += LOAD_POLL;
        }
    }
}
