//! What is recorded is what happened: real workloads, each call compared with what strace says of the same run. Needs
//! root; without it every test fails.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

mod common;
mod truth;

use truth::Case;

#[test]
fn coreutils_over_a_tree() {
    Case::new("coreutils", 900).script(
        "mkdir -p /tmp/t/a/b; cp -r /usr/include/asm-generic /tmp/t/a/b/; cd /tmp/t; \
         find . -type f -exec md5sum {} +; mv a/b c; ln -s c d; ln c/asm-generic/stat.h e; chmod -R go-w .; \
         touch -d 2020-01-01 e; cat d/asm-generic/stat.h > f; sort f | uniq -c | head -n 3; du -sh .; ls -lRa d/; \
         truncate -s 1M g; stat g; rm -rf /tmp/t",
    );
}

#[test]
fn an_archive_through_a_pipe() {
    Case::new("tar", 500).script(
        "mkdir /tmp/t; cd /usr/include; tar -cf - asm-generic linux/netfilter | gzip -9 > /tmp/t/a.tar.gz; \
         cd /tmp/t; gzip -dc a.tar.gz | tar -xf -; tar -tzf a.tar.gz | wc -l; diff -r asm-generic /usr/include/asm-generic",
    );
}

#[test]
fn python_doing_many_things() {
    Case::new("python", 3000).run(&["/usr/bin/python3", "-I", "-c", PYTHON]);
}

/// A web server and its client, a database, processes, threads and files, as a program that people write does it.
const PYTHON: &str = r#"
import concurrent.futures, http.server, json, os, sqlite3, subprocess, tempfile, threading, urllib.request
os.chdir(tempfile.mkdtemp())
json.dump(dict(os.environ), open("env.json", "w"))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/env.json"
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert len({r for r in pool.map(lambda _: urllib.request.urlopen(url).read(), range(24))}) == 1
server.shutdown()
db = sqlite3.connect("a.db")
db.execute("create table t(a, b)")
for i in range(20):
    with db:
        db.execute("insert into t values (?, ?)", (i, "x" * 5000))
assert db.execute("select count(*) from t").fetchone() == (20,)
db.close()
for command in (["ls", "-l"], ["sh", "-c", "cat a.db | wc -c; exit 3"]):
    print(subprocess.run(command, capture_output=True))
"#;

#[test]
fn a_clone_of_a_repository() {
    Case::new("git", 2000).option("--env=HOME=/tmp").script(
        "cd /tmp; git init -q a; cd a; cp -r /usr/include/asm-generic .; git add .; \
         git -c user.name=a -c user.email=a@b commit -qm a; cd ..; git clone -q a b; diff -r a/asm-generic b/asm-generic",
    );
}

#[test]
fn a_build() {
    Case::new("build", 1500).script(
        "mkdir /tmp/b; cd /tmp/b; printf 'int main(void){return 0;}' > a.c; printf 'a: a.c\\n\\tgcc -O1 -o a a.c\\n' > Makefile; \
         make; ./a; make",
    );
}

#[test]
fn a_package_made_and_unpacked() {
    Case::new("dpkg", 500).script(
        "mkdir -p /tmp/p/DEBIAN; cd /tmp; cp -r /usr/include/asm-generic p; \
         printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: a\\nDescription: b\\n' > p/DEBIAN/control; \
         dpkg-deb --build p; dpkg-deb -x p.deb q; diff -r p/asm-generic q/asm-generic",
    );
}

#[test]
fn tasks() {
    Case::new("tasks", 500).run(&["tasks"]);
}

#[test]
fn messages() {
    Case::new("messages", 150).run(&["messages"]);
}

#[test]
fn sockets_of_every_kind() {
    Case::new("net", 90).run(&["net"]);
}

#[test]
fn fds_and_names() {
    Case::new("paths", 60).run(&["paths", "/tmp/p"]);
}

#[test]
fn places() {
    in_places("places");
}

/// Needs mounts: what it does to the container's stays there.
fn in_places(program: &'static str) {
    Case::new(program, 600)
        .option("--cap-add=SYS_ADMIN")
        .option("--security-opt=apparmor=unconfined")
        .run(&[program, "/tmp/p"]);
}

#[cfg(target_arch = "x86_64")]
mod callers_of_32_bits {
    use super::{Case, in_places};

    #[test]
    fn messages() {
        Case::new("messages32", 150).run(&["messages32"]);
    }

    #[test]
    fn tasks() {
        Case::new("tasks32", 500).run(&["tasks32"]);
    }

    #[test]
    fn places() {
        in_places("places32");
    }
}
