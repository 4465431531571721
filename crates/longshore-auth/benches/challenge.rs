//! What it takes to read a `WWW-Authenticate` field, in time for one field.
//!
//! Run with `cargo bench -p longshore-auth`; `-- --quick` is enough to compare two states of the
//! code. Reading is lazy, so there are two groups: `challenge` reads and checks the field,
//! `parameters` then walks every parameter of every challenge once, unescaped.
//!
//! | name | field |
//! | --- | --- |
//! | `bearer` | the one of Docker Hub: realm, service and scope |
//! | `basic` | a realm |
//! | `escaped` | as `bearer`, with an escape in the realm, which has to be copied |
//! | `several` | three challenges in one field, the Bearer one last |

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use longshore_auth::Challenge;

fn challenge(c: &mut Criterion) {
    for (name, field) in FIELDS {
        c.bench_function(&format!("challenge/{name}"), |b| {
            b.iter(|| {
                for challenge in read(black_box(field)) {
                    black_box(challenge);
                }
            });
        });
    }
    for (name, field) in FIELDS {
        c.bench_function(&format!("parameters/{name}"), |b| {
            b.iter(|| {
                for parameter in read(black_box(field)).flat_map(|challenge| challenge.params()) {
                    black_box(parameter);
                }
            });
        });
    }
}

criterion_group!(benches, challenge);
criterion_main!(benches);

fn read(field: &str) -> impl Iterator<Item = Challenge<'_>> {
    Challenge::parse_all([field.as_bytes()].into_iter()).map(Result::unwrap)
}

const FIELDS: [(&str, &str); 4] = [
    (
        "bearer",
        "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
         scope=\"repository:library/alpine:pull\"",
    ),
    ("basic", "Basic realm=\"Registry\""),
    (
        "escaped",
        "Bearer realm=\"https://auth.docker.io\\/token\",service=\"registry.docker.io\",\
         scope=\"repository:library/alpine:pull\"",
    ),
    (
        "several",
        "Negotiate, Basic realm=\"Registry\", Bearer realm=\"https://auth.docker.io/token\",\
         service=\"registry.docker.io\"",
    ),
];
