//! Fuzzes [`longshore_fuzz_bodies::cache_route`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz_bodies::cache_route(data));
