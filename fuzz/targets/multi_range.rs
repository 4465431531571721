//! Fuzzes [`longshore_fuzz_bodies::multi_range`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz_bodies::multi_range(data));
