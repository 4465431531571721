//! Background tasks that continue after an answer was sent.

use tokio::sync::watch;

/// Tasks that a shutdown waits for.
pub(crate) struct Tasks(watch::Sender<usize>);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Runs `work` in a separate task.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.send_modify(|count| *count += 1);
        let running = Running(self.0.clone());
        tokio::spawn(async move {
            let _running = running;
            work.await;
        });
    }

    /// Waits until no task runs.
    pub(crate) async fn ended(&self) {
        let mut count = self.0.subscribe();
        // The sender is in `self`, so it is not closed.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

/// Decrements the count when a task ends, even if it panicked.
struct Running(watch::Sender<usize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_shutdown_waits_for_every_task() {
        let tasks = Tasks::new();
        tasks.ended().await;
        let (go, gone) = oneshot::channel::<()>();
        tasks.spawn(async {
            let _ = gone.await;
        });
        tasks.spawn(async { panic!("as the test wants") });
        let mut ended = Box::pin(tasks.ended());
        for _ in 0..10 {
            tokio::select! {
                biased;
                () = &mut ended => panic!("a task still runs"),
                () = tokio::task::yield_now() => {}
            }
        }
        go.send(()).unwrap();
        ended.await;
    }
}
