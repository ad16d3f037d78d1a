//! A client of the runtimes' API sockets, for data that their state on disk does not contain.
//!
//! The client blocks for up to two seconds, so it runs in a thread of its own.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::containers::cri;
use crate::containers::name_service::NameService;
use crate::containers::runtime::Runtime;
use crate::containers::state::description::ContainerInfo;
use crate::containers::state::docker::Inspect;
use crate::containers::state::users::{Users, home, rootless_uid};
use crate::containers::state::{docker, storage};
use crate::peer;

/// The longest time for a complete answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The time for which a socket is not asked again after it did not answer.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(30);
/// The longest time for which the sockets of a user are asked in [`RETRY_AFTER`]: those of other users wait meanwhile.
const USER_TIME: Duration = Duration::from_secs(2);
/// The largest answer that is read. An inspection is about 10 KiB.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// A socket has not answered in time, or has broken the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered;

/// A client of the APIs of Docker, podman and containerd.
#[derive(Debug)]
pub(crate) struct Api {
    root: PathBuf,
    /// Sockets that did not answer, with the time of the failure.
    failed: HashMap<PathBuf, Instant>,
    /// For each user, since when the user's sockets were asked, and for how long.
    asked: HashMap<u32, (Instant, Duration)>,
    users: Users,
    name_service: Option<NameService>,
    /// The home directories that the name service gave for users.
    homes: HashMap<u32, Option<PathBuf>>,
}

impl Api {
    /// Creates a client for the runtimes of the machine whose root directory is `root`, whose users `name_service` knows.
    pub(crate) fn new(root: &Path, name_service: Option<NameService>) -> Api {
        Api {
            root: root.to_path_buf(),
            failed: HashMap::new(),
            asked: HashMap::new(),
            users: Users::default(),
            name_service,
            homes: HashMap::new(),
        }
    }

    /// Asks the runtime for the container `id` in the cgroup at `path`. Returns `None` if no such runtime runs here, or if
    /// the runtime does not know the container.
    ///
    /// # Errors
    /// A runtime that may know the container did not answer within two seconds, now or less than [`RETRY_AFTER`] ago.
    pub(crate) fn describe(
        &mut self,
        id: &str,
        hint: Option<Runtime>,
        path: &str,
    ) -> Result<Option<ContainerInfo>, Unanswered> {
        // Only characters that a URL can contain unescaped. All ids of Docker and podman consist of them.
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        let mut unanswered = false;
        let mut described = |answer: Result<Option<ContainerInfo>, Unanswered>| {
            unanswered |= answer.is_err();
            answer.ok().flatten()
        };
        let uid = rootless_uid(path);
        let by_containerd = hint.is_none_or(|hint| hint == Runtime::Containerd) && uid.is_none();
        let found = by_containerd
            .then(|| cri::SOCKETS.map(|socket| self.root.join(socket)))
            .into_iter()
            .flatten()
            .find_map(|socket| described(self.ask_containerd(&socket, id)))
            .or_else(|| {
                let mut sockets = self.sockets(hint, uid).into_iter();
                sockets.find_map(|(runtime, socket)| described(self.ask(&socket, uid, id, runtime)))
            })
            .or_else(|| self.describe_in_home(id, uid?));
        match found {
            None if unanswered => Err(Unanswered),
            found => Ok(found.map(ContainerInfo::tidy)),
        }
    }

    /// Describes a container from the state in the home directory of a user whom only the name service knows.
    fn describe_in_home(&mut self, id: &str, uid: u32) -> Option<ContainerInfo> {
        let Api {
            root,
            users,
            name_service,
            homes,
            ..
        } = self;
        if home(root, uid).is_some() {
            return None;
        }
        let user = users.user(root, uid, || {
            let ask = || name_service.as_mut()?.home(uid, TIMEOUT);
            homes.entry(uid).or_insert_with(ask).clone()
        });
        docker::describe(root, &[], Some(&user), id).or_else(|| {
            let lists = &mut storage::Lists::default();
            storage::describe(root, lists, Some(&user), id)
        })
    }

    /// Returns the sockets to ask: those of the user's own runtimes for cgroups of the user `uid`, else those of the machine.
    fn sockets(&self, hint: Option<Runtime>, uid: Option<u32>) -> Vec<(Runtime, PathBuf)> {
        let run = match uid {
            Some(uid) => self.root.join(format!("run/user/{uid}")),
            None => self.root.join("run"),
        };
        let known = [
            (Runtime::Docker, "docker.sock"),
            (Runtime::Podman, "podman/podman.sock"),
        ];
        known
            .into_iter()
            .filter(|(runtime, _)| hint.is_none_or(|hint| hint == *runtime))
            .map(|(runtime, name)| (runtime, run.join(name)))
            .collect()
    }

    fn ask_containerd(
        &mut self,
        socket: &Path,
        id: &str,
    ) -> Result<Option<ContainerInfo>, Unanswered> {
        self.unless_failed(socket, None, || cri::describe(socket, id, TIMEOUT))
    }

    fn ask(
        &mut self,
        socket: &Path,
        uid: Option<u32>,
        id: &str,
        runtime: Runtime,
    ) -> Result<Option<ContainerInfo>, Unanswered> {
        let ask = || get(socket, uid, &format!("/containers/{id}/json"));
        let body = self.unless_failed(socket, uid, ask)?;
        let inspect = body.and_then(|body| serde_json::from_slice::<Inspect>(&body).ok());
        Ok(inspect.map(|inspect| inspect.describe(id, runtime)))
    }

    /// Returns the answer of a socket, which is not asked again for a while if it fails, or if the sockets of its user have
    /// taken their time. Without a socket, or without a program that listens, no runtime knows the container.
    fn unless_failed<T>(
        &mut self,
        socket: &Path,
        uid: Option<u32>,
        ask: impl FnOnce() -> std::io::Result<Option<T>>,
    ) -> Result<Option<T>, Unanswered> {
        let recently = |time: &Instant| time.elapsed() < RETRY_AFTER;
        self.asked.retain(|_, (since, _)| recently(since));
        let spent = |uid| {
            self.asked
                .get(&uid)
                .is_some_and(|(_, time)| *time >= USER_TIME)
        };
        if self.failed.get(socket).is_some_and(recently) || uid.is_some_and(spent) {
            return Err(Unanswered);
        }
        let begin = Instant::now();
        let answer = ask();
        if let Some(uid) = uid {
            let (_, time) = self.asked.entry(uid).or_insert((begin, Duration::ZERO));
            *time += begin.elapsed();
        }
        match answer {
            Ok(answer) => Ok(answer),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(_) => {
                self.failed.insert(socket.to_path_buf(), Instant::now());
                Err(Unanswered)
            }
        }
    }
}

/// Sends an HTTP GET request over a unix socket, and returns the body if the status is 200.
///
/// # Errors
/// Nothing listens, no answer of HTTP came in time, or not the user `uid` listens at the socket of this user, which may be a
/// link to another one.
///
/// The request is HTTP/1.0, so the answer ends with the connection and is never chunked. No other part of HTTP is
/// needed, and a client library would add a TLS stack or an async runtime.
fn get(socket: &Path, uid: Option<u32>, url: &str) -> std::io::Result<Option<Vec<u8>>> {
    let deadline = Instant::now() + TIMEOUT;
    // The connect of std's UnixStream would wait forever for a listener that no longer accepts.
    let mut stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.connect(&SockAddr::unix(socket)?)?;
    if let Some(uid) = uid
        && peer::of(&stream)?.uid != uid
    {
        return Err(ErrorKind::PermissionDenied.into());
    }
    // A single write: a server may answer and close as soon as it has read the first line.
    stream.write_all(format!("GET {url} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() || answer.len() as u64 > MAX_ANSWER_BYTES {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(remaining))?;
        match stream.read(&mut buffer)? {
            0 => break,
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n");
    let head = head.filter(|_| answer.starts_with(b"HTTP/1."));
    let head = head.ok_or(ErrorKind::InvalidData)?;
    let is_ok = answer.get(8..12) == Some(b" 200");
    Ok(is_ok.then(|| answer.split_off(head + 4)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use std::os::unix::net::UnixListener;

    /// Answers one request with `answer`, and returns the request.
    fn serve(root: &Path, answer: &'static [u8]) -> std::thread::JoinHandle<String> {
        std::fs::create_dir_all(root.join("run")).unwrap();
        let listener = UnixListener::bind(root.join("run/docker.sock")).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            // A client may have left.
            let _ = stream.write_all(answer);
            String::from_utf8_lossy(&request[..read]).into_owned()
        })
    }

    #[test]
    fn an_inspection_is_requested_and_parsed() {
        let root = tempfile::tempdir().unwrap();
        let server = serve(
            root.path(),
            b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n\
              {\"Id\":\"abc\",\"Name\":\"/web\",\"Config\":{\"Image\":\"nginx\",\"Labels\":{\"a\":\"b\"}}}",
        );
        let mut api = Api::new(root.path(), None);
        let found = api
            .describe("abc", Some(Runtime::Docker), "/docker/abc")
            .unwrap()
            .unwrap();
        assert_eq!(found.name.as_deref(), Some("web"));
        assert_eq!(found.image.as_deref(), Some("nginx"));
        assert_eq!(found.labels["a"], "b");
        assert!(found.complete);
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /containers/abc/json HTTP/1.0\r\n")
        );
    }

    #[test]
    fn an_answer_without_a_description_is_told_from_none() {
        let not_found = b"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"no such container\"}";
        for (answer, expected) in [
            (not_found.as_slice(), Ok(None)),
            (b"HTTP/1.0 200 OK\r\n\r\n{\"Name\":", Ok(None)),
            (b"\xff\xff", Err(Unanswered)),
            (b"", Err(Unanswered)),
        ] {
            let root = tempfile::tempdir().unwrap();
            let server = serve(root.path(), answer);
            let mut api = Api::new(root.path(), None);
            assert_eq!(api.describe("abc", None, "/abc"), expected);
            server.join().unwrap();
        }
    }

    #[test]
    fn a_server_that_does_not_answer_is_not_asked_again() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run")).unwrap();
        let _listener = UnixListener::bind(root.path().join("run/docker.sock")).unwrap();
        let mut api = Api::new(root.path(), None);
        let begin = Instant::now();
        let docker = Some(Runtime::Docker);
        assert_eq!(api.describe("abc", docker, "/"), Err(Unanswered));
        assert!(begin.elapsed() >= TIMEOUT);
        let again = Instant::now();
        assert_eq!(api.describe("abc", docker, "/"), Err(Unanswered));
        assert!(again.elapsed() < TIMEOUT / 2);
        assert_eq!(api.describe("abc", Some(Runtime::Podman), "/"), Ok(None));
    }

    #[test]
    fn a_socket_of_a_user_at_which_another_user_listens_is_not_asked() {
        let root = tempfile::tempdir().unwrap();
        let own = rustix::process::geteuid().as_raw();
        let url = "/containers/abc/json";
        for (uid, is_asked) in [(own, true), (own + 1, false)] {
            let place = root.path().join(uid.to_string());
            let server = serve(&place, b"HTTP/1.0 200 OK\r\n\r\n{}");
            let answer = get(&place.join("run/docker.sock"), Some(uid), url);
            assert_eq!(answer.is_ok(), is_asked, "{answer:?}");
            assert_eq!(!server.join().unwrap().is_empty(), is_asked);
        }
    }

    #[test]
    fn the_sockets_of_a_user_are_asked_for_a_limited_time() {
        let mut api = Api::new(Path::new("/nonexistent"), None);
        let mut ask = |uid, name: &str| {
            let slowly = || {
                std::thread::sleep(USER_TIME / 3);
                Ok(Some(()))
            };
            api.unless_failed(Path::new(name), uid, slowly)
        };
        for n in 0..3 {
            assert_eq!(ask(Some(1000), &n.to_string()), Ok(Some(())));
        }
        assert_eq!(ask(Some(1000), "4"), Err(Unanswered));
        assert_eq!(ask(Some(1001), "4"), Ok(Some(())));
        assert_eq!(ask(None, "4"), Ok(Some(())));
    }

    #[test]
    fn an_id_cannot_change_the_request() {
        let mut api = Api::new(Path::new("/nonexistent"), None);
        for id in ["", "../images", "a b", "a\r\nX: y", "a?x=1"] {
            assert_eq!(api.describe(id, None, "/"), Ok(None));
        }
    }
}
