//! Every check and chore of the project, runnable at home.
fn main() {}
