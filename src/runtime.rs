//! The async runtime of one process.
//!
//! Airflow forks its task processes, and threads do not survive a fork. So the runtime is made on first use, is keyed
//! by the process id, and a child that inherits its parent's makes one of its own. The inherited one is never dropped:
//! dropping would wait for threads that do not exist in the child.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};

static CURRENT: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// The runtime of this process, made on first use.
pub fn current() -> Result<&'static Runtime> {
    let pid = std::process::id();
    let mut slot = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((owner, runtime)) = *slot
        && owner == pid
    {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("metropulse-io")
        .enable_all()
        .build()
        .map_err(|e| Error::internal("the async runtime cannot be started").because(e))?;
    // Leaked on purpose: it lives as long as the process.
    let runtime: &'static Runtime = Box::leak(Box::new(runtime));
    *slot = Some((pid, runtime));
    Ok(runtime)
}
