#!/bin/sh
# A real mix of calls, in a directory of its own: a git clone and log of the repository $1, a C build, a Python program
# with files, SQLite, an HTTP server and its clients, and processes; an archive, and walks over many files.
set -e
cd "$HOME"
git -c safe.directory='*' clone -q --no-hardlinks "$1" src
( cd src && git log --stat >/dev/null )
mkdir c && cd c
for i in 1 2 3 4 5 6 7 8; do
cat > f$i.c <<C
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <pthread.h>
int f$i(int x) { printf("%d\n", x); return x * $i; }
C
done
echo 'int f1(int); int main(void) { return f1(0); }' > main.c
printf 'all: main.o f1.o f2.o f3.o f4.o f5.o f6.o f7.o f8.o\n\tgcc -o main $^\n' > Makefile
make -s -j2 CFLAGS=-O1
cd ..
python3 - <<'P'
import json, sqlite3, os, socket, threading, subprocess, tempfile, compileall, shutil
import unittest, asyncio, http.server, urllib.request, logging, decimal, xml.dom.minidom
d = tempfile.mkdtemp()
lib = os.path.dirname(json.__file__)
for r, ds, fs in os.walk(os.path.dirname(lib)):
    if 'site-packages' in r or 'test' in r: continue
    for f in fs[:20]:
        if f.endswith('.py'):
            p = os.path.join(r, f); os.stat(p)
            with open(p, 'rb') as h: h.read()
db = sqlite3.connect(d + '/x.db')
db.execute('create table t(a, b)')
for i in range(300):
    db.execute('insert into t values (?, ?)', (i, 'x' * i)); db.commit()
class H(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(('127.0.0.1', 8099), H)
threading.Thread(target=s.serve_forever, daemon=True).start()
for i in range(200):
    urllib.request.urlopen('http://127.0.0.1:8099/').read()
for i in range(20):
    subprocess.run(['/bin/true'])
P
tar cf - /usr/include 2>/dev/null | gzip -1 > x.tgz
ls -lR /usr/share/doc > /dev/null
find /usr/lib -name '*.so' | head -100 | xargs md5sum > /dev/null
