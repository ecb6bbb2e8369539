//! Which tasks there are, and one of them in full (`contracts/openapi/data.yaml`).
//!
//! Rules: ORCH-TASK-13

use std::sync::Arc;

use api_types::{self as wire, InputPart, TaskCounts, TaskDetail, TaskInput, TaskList, TaskSummary};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use engine_api::redact::without_folders;
use generation::{Role, Workload};
use orchestrator_core::{Priority, TaskId};
use serde::Deserialize;

use super::Api;
use super::answer::{self, Refused};
use super::data::{Id, about, uuid_in_path};
use crate::backpressure::Refusal;
use crate::task_view::{PromptPreview, TaskPhase, TaskView, TasksView};

/// How many tasks of each kind are named unless the caller says otherwise, and at most.
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1000;

/// What may be said of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
}

/// `GET /v1/tasks`
pub(super) async fn list_tasks(
    State(api): State<Arc<Api>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<TaskList>, Refused> {
    let limit = limit_of(query)?;
    let view = api.driver.tasks(limit).await.map_err(|refusal| api.refuse(refusal))?;
    Ok(Json(list_on_the_wire(&view)))
}

/// `GET /v1/tasks/{id}`
pub(super) async fn get_task(State(api): State<Arc<Api>>, id: Id) -> Result<Response, Refused> {
    let task = TaskId(uuid_in_path(id)?);
    let story = api.driver.task(task).await.map_err(|refusal| api.refuse(refusal))?;
    let body =
        TaskDetail { task: summary_of(&story.view), input: input_of(&story.asked), answer: story.log.text() };
    Ok(about(task, Json(body).into_response()))
}

fn limit_of(query: Result<Query<ListQuery>, QueryRejection>) -> Result<usize, Refusal> {
    let Query(query) = query.map_err(|rejection| {
        Refusal::Invalid(format!(
            "the query of `/v1/tasks`: {}: it takes `limit`, 1 to {LIMIT_MAX}",
            rejection.body_text()
        ))
    })?;
    match query.limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit as usize),
        limit => Err(Refusal::Invalid(format!("`limit` is {limit}: use 1 to {LIMIT_MAX}"))),
    }
}

fn list_on_the_wire(view: &TasksView) -> TaskList {
    let count = |tasks: usize| u32::try_from(tasks).unwrap_or(u32::MAX);
    TaskList {
        counts: TaskCounts {
            running: count(view.running),
            waiting: count(view.waiting),
            ended: count(view.ended),
        },
        tasks: view.tasks.iter().map(summary_of).collect(),
    }
}

fn summary_of(view: &TaskView) -> TaskSummary {
    let position = match &view.phase {
        TaskPhase::Waiting(position) => Some(*position),
        TaskPhase::Running | TaskPhase::Ended(_) => None,
    };
    let end = match &view.phase {
        TaskPhase::Ended(end) => Some(end),
        TaskPhase::Running | TaskPhase::Waiting(_) => None,
    };
    TaskSummary {
        task_id: view.task.0,
        session_id: view.session.map(|session| session.0),
        pool: view.pool.to_string(),
        priority: match view.priority {
            Priority::Interactive => wire::Priority::Interactive,
            Priority::Batch => wire::Priority::Batch,
        },
        workload: match view.workload {
            Workload::Completion => wire::Workload::Completion,
            Workload::Embedding => wire::Workload::Embedding,
            Workload::Rerank => wire::Workload::Rerank,
        },
        state: match view.phase {
            TaskPhase::Waiting(_) => wire::TaskState::Waiting,
            TaskPhase::Running => wire::TaskState::Running,
            TaskPhase::Ended(_) => wire::TaskState::Ended,
        },
        queue_position: position.map(|position| position.queue_position),
        predicted_start_ms: position.map(|position| position.predicted_start.0),
        predicted_start_p90_ms: position.map(|position| position.predicted_start_p90.0),
        replica: view.course.replica.as_ref().map(ToString::to_string),
        tokens_in: view.tokens_in.0,
        tokens_out: view.tokens_out.0,
        tokens_per_s: view.tokens_per_s(),
        max_tokens: view.max_tokens.map(|most| most.0),
        age_ms: view.age.0,
        promised_start_ms: view.promised_start.0,
        started_ms: view.course.started.map(|at| at.0),
        first_token_ms: view.course.first_token.map(|at| at.0),
        ended_ms: view.course.ended.map(|at| at.0),
        finish_reason: end.map(answer::finish_on_the_wire),
        error: end.and_then(|end| answer::error_of(end, view.engine)),
        placements: view.course.placements,
        tokens_read: view.tokens_read.map(|tokens| tokens.0),
        model: view.model.as_deref().map(without_folders),
        client: view.client.as_ref().map(|client| client.as_str().to_owned()),
        preview: view.preview.clone(),
    }
}

fn input_of(asked: &PromptPreview) -> TaskInput {
    let part = |(role, text): &(Option<Role>, String)| InputPart {
        role: role.map(role_on_the_wire),
        text: text.clone(),
    };
    TaskInput {
        parts: asked.parts.iter().map(part).collect(),
        bytes: asked.bytes as u64,
        cut: asked.is_cut(),
    }
}

fn role_on_the_wire(role: Role) -> wire::Role {
    match role {
        Role::System => wire::Role::System,
        Role::User => wire::Role::User,
        Role::Assistant => wire::Role::Assistant,
        Role::Tool => wire::Role::Tool,
    }
}
