//! Fuzzes [`longshore_fuzz_bodies::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz_bodies::config(data));
