//! The names on the front page and in the dashboard are names of metrics.

use std::collections::BTreeSet;

/// Returns every word of `text` that begins with `kitex_`, without what a histogram adds to its name.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    let names = words.filter(|word| word.starts_with("kitex_") && !["kitex_metrics"].contains(word));
    let suffixes = ["_bucket", "_count", "_sum"];
    names.map(|name| suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)).collect()
}

#[test]
fn metrics_of_the_front_page_and_of_the_dashboard_exist() {
    let sources = [
        include_str!("../../src/families.rs"),
        include_str!("../../src/sources.rs"),
        include_str!("../../src/propagation.rs"),
    ];
    let sources = sources.concat().replace("kitex_{side}_", "kitex_server_")
        + &sources.concat().replace("kitex_{side}_", "kitex_client_");
    let page = names(include_str!("../../README.md"));
    assert_eq!(page, names(&sources));
    let dashboard = names(include_str!("../../../../docs/grafana.json"));
    assert!(dashboard.len() > 15 && dashboard.is_subset(&page), "{:?}", dashboard.difference(&page));
}
