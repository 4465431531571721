//! Fuzzes [`longshore_fuzz_bodies::serve_config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz_bodies::serve_config(data));
