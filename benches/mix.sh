#!/bin/sh
# A realistic mix of calls, in a separate directory: nginx under load, redis-benchmark, a git clone of the repository $1, a
# Python test run, and a C build. Each part makes a substantial share of the calls.
set -e
# Runs a command until it succeeds.
until_up() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		"$@" >/dev/null 2>&1 && return
		sleep 0.2
	done
	echo "mix: $1 gets no answer" >&2
	exit 1
}
here=$(dirname "$0")
cd "$HOME"
"$here/nginx.sh" 8088 &
until_up curl -sf http://127.0.0.1:8088/
wrk -t1 -c8 -d1 http://127.0.0.1:8088/ >/dev/null
kill $!
redis-server --port 6390 --save '' >/dev/null &
until_up redis-cli -p 6390 ping
redis-benchmark -p 6390 -q -n 10000 -t set,get,lpush >/dev/null
kill $!
wait
git -c safe.directory='*' clone -q --no-hardlinks "$1" src
mkdir c tests
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/socket.h>\n#include <pthread.h>
int f%d(int x) { printf("%%d", x); return x * %d; }\n' $i $i >c/f$i.c
done
echo 'int f1(int); int main(void) { return f1(0); }' >c/main.c
printf 'all: main.o f1.o f2.o f3.o f4.o f5.o f6.o f7.o f8.o f9.o f10.o f11.o f12.o\n\tgcc -o main $^\n' >c/Makefile
make -s -C c -j2 CFLAGS=-O1
cat >tests/test_mix.py <<'P'
import compileall, json, os, shutil, sqlite3, subprocess, tempfile, threading, unittest, urllib.request
import http.server, logging, xml.dom.minidom, zipfile

class Mix(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)

    def test_files(self):
        lib = os.path.dirname(json.__file__)
        tree = shutil.copytree(lib, self.dir + "/json")
        self.assertTrue(compileall.compile_dir(tree, quiet=2))
        with zipfile.ZipFile(self.dir + "/x.zip", "w") as out:
            for where, _, names in os.walk(os.path.dirname(lib)):
                for name in names[:5]:
                    out.write(os.path.join(where, name))

    def test_sqlite(self):
        db = sqlite3.connect(self.dir + "/x.db")
        db.execute("create table t(a, b)")
        for i in range(300):
            db.execute("insert into t values (?, ?)", (i, "x" * i))
            db.commit()

    def test_http(self):
        handler = http.server.SimpleHTTPRequestHandler
        handler.log_message = lambda *_: None
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 8099), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for _ in range(100):
            urllib.request.urlopen("http://127.0.0.1:8099/").read()
        server.shutdown()

    def test_processes(self):
        for _ in range(20):
            subprocess.run(["/bin/true"], check=True)
P
python3 -m unittest discover -q -s tests
