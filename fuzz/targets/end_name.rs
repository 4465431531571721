//! Fuzzes [`longshore_fuzz_bodies::end_name`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz_bodies::end_name(data));
