//! Real workloads under the recorder and under strace at once: each recorded call is compared with strace's. Needs root;
//! without it every test fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support"]
mod support {
    pub(crate) mod command;
    pub(crate) mod compare;
    #[allow(dead_code, reason = "these tests run containers of Docker only")]
    pub(crate) mod containers;
    pub(crate) mod docker;
    pub(crate) mod image;
    pub(crate) mod root;
    pub(crate) mod wait;
}

mod case;
#[cfg(target_arch = "x86_64")]
mod matrix;
mod self_test;

use case::Case;

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

/// A web server and its client, a database, processes, threads and files, in the style of an ordinary program.
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
         dpkg-deb --build p; mkdir -p q db/info db/updates db/triggers; touch db/status db/available; \
         dpkg --admindir=/tmp/db --instdir=/tmp/q --log=/tmp/log --force-all --unpack p.deb; \
         diff -r p/asm-generic q/asm-generic; dpkg-deb -x p.deb r; diff -r q r",
    );
}

#[test]
fn a_database_and_its_script() {
    Case::new("sqlite3", 1000).script(
        "cd /tmp; printf '%s\\n' 'pragma journal_mode = wal;' 'create table t(a integer primary key, b);' 'begin;' \
         'with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) \
          insert into t select i, hex(randomblob(20)) from n;' 'commit;' 'create index i on t(b);' \
         'update t set b = a where a % 7 = 0;' 'vacuum;' 'pragma integrity_check;' > script; \
         sqlite3 a.db < script; sqlite3 -readonly a.db 'select count(*) from t;' > count; test \"$(cat count)\" = 20000; \
         ! sqlite3 -readonly a.db 'drop table t;'; sqlite3 a.db .dump | sqlite3 b.db",
    );
}

/// Runs a server in /tmp, then a client that ends the server, and waits for the end of the server.
fn served(case: Case, server: &str, port: u16, client: &str) {
    case.script(&format!(
        "cd /tmp; {server} & for i in $(seq 100); do nc -w 1 127.0.0.1 {port} < /dev/null && break; sleep 0.1; done; \
         {client}; wait $!"
    ));
}

#[test]
fn a_web_server_under_load() {
    served(
        Case::new("nginx", 5000),
        "seq 1 9999 > index.html; echo small > small; \
         printf '%s\\n' 'daemon off; worker_processes 2; user root root; pid pid;' 'events { worker_connections 64; }' \
         'http { access_log log; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; \
         scgi_temp_path s; sendfile on; server { listen 8080; root /tmp; \
         location /self/ { proxy_pass http://127.0.0.1:8080/; } } }' > conf; /usr/sbin/nginx -p /tmp -e err -c conf",
        8080,
        "for path in index.html self/missing; do wrk -t2 -c6 -d1s http://127.0.0.1:8080/$path; done; \
         /usr/sbin/nginx -p /tmp -e err -c conf -s quit",
    );
}

#[test]
fn a_store_under_load() {
    served(
        Case::new("redis", 5000),
        "redis-server --save '' --appendonly yes --io-threads 2",
        6379,
        "redis-benchmark -n 400 -c 8 --threads 2 -q -t set,get,lpush,lrange_100,mset; \
         redis-benchmark -n 400 -P 8 -q -t incr; redis-cli bgrewriteaof; redis-cli shutdown",
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

/// Runs a program that mounts file systems inside the container.
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
