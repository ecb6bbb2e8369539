use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(seconds))
}

fn resident(key: char, ready_since: u64, last_used: u64, in_use: bool) -> Resident<char> {
    Resident {
        key,
        ready_since: at(ready_since),
        load: Duration::from_secs(10),
        last_used: at(last_used),
        in_use,
        stays: false,
    }
}

/// ORCH-DEV-6
#[test]
fn r_1_the_idle_model_that_was_used_least_recently_goes_first() {
    let residents = [resident('a', 0, 50, true), resident('b', 0, 40, false), resident('c', 0, 30, false)];
    assert_eq!(choose(&residents, at(60)), Eviction::Evict('c'));
}

/// ORCH-DEV-6
#[test]
fn r_2_a_model_serves_as_long_as_its_load_took_before_it_goes() {
    let residents = [resident('a', 100, 100, false)];
    assert_eq!(choose(&residents, at(109)), Eviction::NotBefore(at(110)));
    assert_eq!(choose(&residents, at(110)), Eviction::Evict('a'));
}

#[test]
fn r_2_a_model_in_use_serves_longer() {
    let residents = [resident('a', 100, 100, true)];
    assert_eq!(choose(&residents, at(139)), Eviction::NotBefore(at(140)));
}

#[test]
fn r_3_a_model_in_use_goes_when_no_idle_one_can() {
    let residents = [resident('a', 60, 99, true), resident('b', 0, 99, true), resident('c', 95, 95, false)];
    assert_eq!(choose(&residents, at(100)), Eviction::Evict('b'));
}

/// ORCH-MODEL-15
#[test]
fn r_4_a_model_that_was_asked_to_stay_goes_after_the_other_idle_ones_and_before_one_in_use() {
    let stays = Resident { stays: true, ..resident('a', 0, 10, false) };
    assert_eq!(choose(&[stays, resident('b', 0, 20, false)], at(60)), Eviction::Evict('b'));
    assert_eq!(choose(&[stays, resident('b', 0, 20, true)], at(60)), Eviction::Evict('a'));
}

#[test]
fn where_nothing_is_loaded_nobody_can_make_room() {
    assert_eq!(choose::<char>(&[], at(0)), Eviction::Nobody);
}

/// Two models that are asked for in turn, on a device for one: how much of the time goes into loading.
/// ORCH-DEV-6
#[test]
fn models_asked_for_in_turn_spend_at_most_half_of_the_time_on_loading() {
    let load = Duration::from_secs(10);
    let (mut now, mut loading, mut serving) = (at(0), Duration::ZERO, Duration::ZERO);
    for _ in 0..50 {
        now = now.after(load);
        loading += load;
        let resident =
            Resident { key: 'x', ready_since: now, load, last_used: now, in_use: false, stays: false };
        let Eviction::NotBefore(then) = choose(&[resident], now) else { panic!("its turn has just begun") };
        serving += then.since(now);
        now = then;
        assert_eq!(choose(&[resident], now), Eviction::Evict('x'));
    }
    assert!(loading <= serving, "{loading:?} of loading, {serving:?} of serving");
}
