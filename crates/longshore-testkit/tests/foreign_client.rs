//! Runs the example: the behaviour of a client that is not Longshore's at each registry.

#[path = "../examples/foreign_client.rs"]
#[expect(dead_code, reason = "the test does not print")]
mod example;

#[test]
fn the_example_shows_where_a_simple_client_fails() {
    let expected = "\
        the specification: stored (5 requests)\n\
        distribution: stored (5 requests)\n\
        a range that does not move: stored (5 requests)\n\
        relative locations: stored (5 requests)\n\
        Artifactory: damaged: 5 of 21 bytes (5 requests)\n\
        Google: PATCH: 405 ";
    let said = example::run().unwrap();
    assert!(said.starts_with(expected), "{said}");
    for line in [
        "chunks of at most 4 bytes: PATCH: 416 (2 requests)",
        "a rate limit on the third request: PATCH: 429 ",
    ] {
        assert!(said.contains(line), "{said}");
    }
}
