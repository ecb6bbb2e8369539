//! Options of a new configuration while the pool is at something else (ORCH-CONF-13).

use config_schema::PoolModel;
use model_store::ModelRef;

use super::configure::{Reloading, other};
use super::handle::Bench;
use super::*;
use crate::pool_protocol::{PoolEvent, ReloadOrder, ReloadOutcome, Rollback, RollbackCode};
use crate::protocol::{Command, ReplyTo};
use crate::state::ModelState;

impl Bench {
    fn reload_by_config(&mut self) -> Reloading {
        let options = Some(Box::new(pool_config(pool_id())));
        let model = PoolModel::Reference(ModelRef::Starter);
        let (to, reply) = ReplyTo::new();
        let order = ReloadOrder { model, sha256: None, options };
        self.handle(Event::Command(Command::Reload(pool_id(), order, to)));
        reply
    }

    fn orders(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.told);
        let name = |order: String| order.split([' ', '(']).next().unwrap_or_default().to_owned();
        told.into_iter().map(name).filter(|order| order != "SetDemand").collect()
    }

    fn over(&mut self, outcome: ReloadOutcome) {
        self.event(PoolEvent::ReloadOver(outcome));
    }
}

fn canceled() -> Rollback {
    Rollback { code: RollbackCode::ReloadInProgress, message: "canceled".into() }
}

/// ORCH-CONF-13
#[test]
fn the_options_of_a_newer_configuration_take_the_place_of_those_that_are_being_tried() {
    let mut bench = Bench::new(1);
    bench.told.clear();
    let (mut first, mut second) = (bench.reload_by_config(), bench.reload_by_config());
    let mut third = bench.reload_by_config();
    assert_eq!(bench.orders(), ["Reload", "CancelReload", "CancelReload"]);
    assert!(matches!(second.try_recv(), Ok(Ok(Err(_)))), "it was never tried");
    bench.over(Err(canceled()));
    assert_eq!(first.try_recv(), Ok(Ok(Err(canceled()))));
    assert_eq!(bench.orders(), ["Reload"], "the newest");
    bench.over(Ok("new".into()));
    assert_eq!(third.try_recv(), Ok(Ok(Ok("new".into()))));
    assert_eq!(bench.orders(), [""; 0]);
}

/// ORCH-CONF-13
#[test]
fn options_that_a_newer_configuration_does_not_want_are_given_up() {
    let mut bench = Bench::new(1);
    let mut tried = bench.reload_by_config();
    bench.told.clear();
    bench.handle(Event::Command(Command::CancelConfigReload(pool_id())));
    assert_eq!(bench.orders(), ["CancelReload"]);
    bench.over(Err(canceled()));
    assert_eq!(tried.try_recv(), Ok(Ok(Err(canceled()))));
    bench.handle(Event::Command(Command::CancelConfigReload(pool_id())));
    assert_eq!(bench.orders(), [""; 0], "nothing is under way");
}

/// ORCH-CONF-13
#[test]
fn options_wait_for_a_reload_of_an_operator_and_for_replicas_on_their_way_out() {
    let mut bench = Bench::new(1);
    let mut operators = bench.reload();
    bench.told.clear();
    let mut waits = bench.reload_by_config();
    bench.handle(Event::Command(Command::CancelConfigReload(other())));
    assert_eq!(bench.orders(), [""; 0], "an operator's reload goes on");
    bench.over(Ok("theirs".into()));
    assert_eq!(operators.try_recv(), Ok(Ok(Ok("theirs".into()))));
    assert_eq!(bench.orders(), ["Reload"]);
    bench.over(Ok("ours".into()));
    assert!(waits.try_recv().is_ok());

    bench.retired();
    bench.told.clear();
    let mut waits = bench.reload_by_config();
    assert_eq!(bench.orders(), [""; 0], "its replicas end");
    bench.event(PoolEvent::Unloaded);
    assert_eq!(bench.orders(), ["Reload"]);
    bench.over(Ok("ours".into()));
    assert!(waits.try_recv().is_ok());
    assert_eq!(bench.health().pools[0].state, ModelState::Retired, "it stays out of service");
}

/// ORCH-CONF-13
#[test]
fn options_that_wait_are_answered_when_the_pool_is_removed() {
    let mut bench = Bench::new(1);
    let _operators = bench.reload();
    let mut waits = bench.reload_by_config();
    bench.configure(&[other()]).unwrap();
    assert!(matches!(waits.try_recv(), Ok(Ok(Err(_)))));
}
