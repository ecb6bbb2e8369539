use super::*;

#[test]
fn a_scrape_is_read_with_quotes_and_commas_in_its_values() {
    let scrape = Scrape::parse(
        "# HELP tasks Tasks\n# TYPE tasks counter\ntasks_total{a=\"x, \\\"y\\\"}\",b=\"\"} 3\n\
         tasks_total{a=\"z\",b=\"1\"} 4\n# TYPE depth gauge\ndepth 0.5\n# EOF\n",
    );
    assert_eq!(scrape.kinds["tasks_total"], "counter");
    assert_eq!(scrape.series[0].labels["a"], "x, \"y\"}");
    assert_eq!(scrape.sum("tasks_total", &[]), 7.0);
    assert_eq!(scrape.sum("tasks_total", &[("b", "1")]), 4.0);
    assert_eq!(scrape.sum("depth", &[]), 0.5);
}
