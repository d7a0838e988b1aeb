//! A Redis server of our own, on a unix socket: on no port, writing nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::peers::Redis;

pub struct Server {
    process: Child,
    pub socket: PathBuf,
}

impl Server {
    /// Starts one, or says why there is none.
    pub fn start(directory: &Path) -> Result<Self, String> {
        let socket = directory.join("redis.socket");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("`redis-server` does not start (Debian's package is of that name): {error}"))?;
        let server = Self { process, socket };
        let end = Instant::now() + Duration::from_secs(10);
        while let Err(error) = Redis::connect(&server.socket) {
            if Instant::now() > end {
                return Err(format!("`redis-server` does not answer: {error}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
