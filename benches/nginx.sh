#!/bin/sh
# nginx.sh PORT [WORKERS]: runs nginx in the foreground, with a small page below $HOME.
set -e
mkdir -p "$HOME/nginx/html"
seq 200 >"$HOME/nginx/html/index.html"
cat >"$HOME/nginx/nginx.conf" <<C
daemon off;
worker_processes ${2:-1};
pid $HOME/nginx/pid;
error_log stderr crit;
events { worker_connections 512; }
http {
	access_log $HOME/nginx/access.log;
	client_body_temp_path $HOME/nginx/body;
	proxy_temp_path $HOME/nginx/proxy;
	fastcgi_temp_path $HOME/nginx/fastcgi;
	uwsgi_temp_path $HOME/nginx/uwsgi;
	scgi_temp_path $HOME/nginx/scgi;
	server { listen 127.0.0.1:$1; root $HOME/nginx/html; }
}
C
exec nginx -c "$HOME/nginx/nginx.conf"
