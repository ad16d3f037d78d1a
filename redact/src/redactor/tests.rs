use ctrace_schema::meta;
use serde_json::{Value, json};

use super::*;
use crate::cache::RedactionCache;
use crate::rules::Switches;

fn redactor(file: &str, on: &[&str]) -> Redactor {
    let switches = Switches {
        on: on.iter().map(ToString::to_string).collect(),
        off: vec![],
    };
    let rules = Rules::new(Some(file), &switches).expect("are rules");
    let key = Key::new(b"0123456789abcdef".to_vec()).expect("is a key");
    Redactor::new(rules, key)
}

fn plain() -> Redactor {
    redactor("", &[])
}

/// Arguments, with the part that is a secret between « and ».
const SECRETS: &[&str] = &[
    "mysqldump --password=«hunter2» db",
    "mysqldump --password «hunter2» db",
    "mysql -u root -p«hunter2» db",
    "/usr/bin/mysql -p«hunter2»",
    "docker run -e DB_PASSWORD=«hunter2» -e MODE=fast app",
    "env 'API_KEY=«a b,c&d»' app",
    "env dbPassword=«hunter2» app",
    "app --api-key=«0123» --verbose",
    "app --token «abcdef» --port 80",
    "app '--client-secret=«it is long»'",
    "curl -u alice:«hunter2» http://web/",
    "curl --user=alice:«hunter2» http://web/",
    "curl 'http://alice:«hunter2»@web/'",
    "curl 'http://web/?user=alice&access_token=«abc»&page=3'",
    "curl 'https://store/x?X-Amz-Signature=«0f0f0f»&n=1'",
    "curl -H 'Authorization: Bearer «abcdefgh»' web",
    "curl -H 'Authorization: Basic «YWxpY2U6aHVudGVyMg==»' web",
    "curl -H 'PRIVATE-TOKEN: «hunter2»' web",
    "curl -H 'X-Api-Key: «hunter2»' web",
    "curl -H 'Cookie: «session=1; user=2»' web",
    "curl -d '{\"user\":\"alice\",\"password\":\"«hunter2»\"}' web",
    "sh -c 'mysql --password=«hunter2» db'",
    "sh -c 'mysql -u root -p«hunter2» db'",
    "sh -c 'curl -u alice:«hunter2» http://web/ | jq .'",
    "sh -c 'login --password «hunter2» && ls'",
    "sh -c 'curl -H \"PRIVATE-TOKEN: «hunter2»\" web'",
    "sh -c 'exec app --secret \"«two words»\" -v'",
    "sshpass -p «hunter2» ssh web",
    "redis-cli -h cache -a «hunter2» ping",
    "docker login -u alice -p «hunter2» registry",
    "openssl rsa -in key.pem -passin pass:«hunter2»",
    "ldapsearch -x -w «hunter2» -b dc=example",
    "smbclient //nas/x -U 'alice%«hunter2»'",
    "mount -o username=alice,password=«hunter2»,vers=3 //nas/x /mnt",
    "app 'Server=db;Uid=alice;Pwd=«hunter2»;Port=1'",
    "app 'alice:«hunter2»@tcp(db:3306)/shop'",
    "git clone 'https://«0123456789abcdef0123456789abcdef»@git.example.com/x'",
    "aws configure set «AKIAIOSFODNN7EXAMPLE»",
    "app «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl»",
    "gh auth «ghp_0123456789abcdef0123456789abcdef0123»",
    "app «xoxb-0123456789-abcdef»",
    "app '-----BEGIN PRIVATE KEY-----«\\\\x0aMIIE\\\\x0a»-----END PRIVATE KEY-----'",
];

/// Arguments without a secret.
const HARMLESS: &[&str] = &[
    "",
    "ls -l /etc/passwd",
    "cat /run/secrets/db_password",
    "app --password-file=/run/secrets/db --token-ttl=5m",
    "app --password-file /run/secrets/db",
    "app token_count=3 max_tokens=5 bypass=1",
    "env PASSWORD_FILE=/run/secrets/db PWD=/root OLDPWD=/ app",
    "app --password --verbose",
    "sh -c 'mysql --password=$DB_PASSWORD db'",
    "sh -c 'mysql --password=\"${DB_PASSWORD}\" db'",
    "sh -c 'test \"$token\" == x'",
    "app --use-password=false --secret=",
    "mkdir -p /srv/data",
    "docker run -u 1000:1000 -p 80:80 my-secret:latest",
    "docker login registry.example.com",
    "curl http://web:8080/path/a@b",
    "git clone git@github.com:org/repo.git",
    "git clone ssh://git@github.com/org/repo.git",
    "git show 07898f0291f1eec7e4e9f9c8d46868e2cab3682d",
    "git commit -m 'refresh the token'",
    "tokenizer --model bert --key-count 3 keyboard=de",
    "app sha256:07898f0291f1eec7e4e9f9c8d46868e2cab3682d08635794737a5c21186a7b46",
    "app 550e8400-e29b-41d4-a716-446655440000",
    "python -m http.server --bind 0.0.0.0 8000",
    "ssh-keygen -t ed25519 -f key",
    "kubectl create secret generic db --from-file=password",
];

/// Removes the marks of the secret, and returns the secret too.
fn unmarked(text: &str) -> (String, &str) {
    let (from, to) = (
        text.find('«').expect("a mark"),
        text.find('»').expect("a mark"),
    );
    (
        text.replace(['«', '»'], ""),
        &text[from + '«'.len_utf8()..to],
    )
}

#[test]
fn secrets_are_replaced_and_nothing_else() {
    let redactor = plain();
    for marked in SECRETS {
        let (argv, secret) = unmarked(marked);
        let new = redactor
            .text("argv", &argv)
            .unwrap_or_else(|| panic!("{argv}: no secret found"))
            .text;
        assert!(!new.contains(secret), "{argv}: {new}");
        let hash = redactor.key.hash(secret);
        assert!(
            new.contains(&hash),
            "{argv}: {new}: another part was hashed"
        );
        // But for the secret and the quotes, the words are the same.
        let words = |text: &str| ctrace_schema::text::shell_split(text).join("\n");
        let pattern = PLACEHOLDER.as_ref().expect("compiles");
        let rest = pattern.replace_all(&words(&new), "X").into_owned();
        let (before, after) = marked.split_once('«').expect("a mark");
        let expected = format!("{before}X{}", after.split_once('»').expect("a mark").1);
        assert_eq!(rest, words(&expected), "{argv}: {new}");
        assert_eq!(redactor.text("argv", &new), None, "{new}: replaced twice");
    }
}

#[test]
fn harmless_texts_stay() {
    let redactor = plain();
    for argv in HARMLESS {
        assert_eq!(redactor.text("argv", argv), None, "{argv}");
    }
    for path in [
        "/",
        "/etc/passwd",
        "/run/secrets/token",
        "/proc/1/fd/3",
        "socket:[123]",
        "index.html",
        "/var/lib/kubelet/pods/0b3c/volumes/kubernetes.io~secret/token",
    ] {
        assert_eq!(redactor.text("path", path), None, "{path}");
    }
}

#[test]
fn argv_stays_quoted_for_a_shell() {
    let new = plain()
        .text("argv", "app --password=x 'a b'")
        .expect("a secret")
        .text;
    let hash = plain().key.hash("x");
    assert_eq!(
        new,
        format!("app '--password=<redacted:password:{hash}>' 'a b'")
    );
}

#[test]
fn equal_texts_have_equal_hashes_in_all_columns() {
    let redactor = redactor("[rules.customers]\nprefixes = ['/srv/customers/']", &[]);
    let hash = redactor.key.hash("acme/data.db");
    let hidden = format!("<redacted:customers:{hash}>");
    for column in ["path", "path2", "host_path", "path_arg", "exe"] {
        let new = redactor
            .text(column, "/srv/customers/acme/data.db")
            .expect("a path")
            .text;
        assert_eq!(new, format!("/srv/customers/{hidden}"), "{column}");
    }
    let text = |column: &str, text: &str| redactor.text(column, text).map(|new| new.text);
    let argv = text(
        "argv",
        "cat /srv/customers/acme/data.db --in=/srv/customers/acme/data.db",
    );
    assert_eq!(
        argv,
        Some(format!(
            "cat '/srv/customers/{hidden}' '--in=/srv/customers/{hidden}'"
        ))
    );
    let script = text("argv", "sh -c 'cat </srv/customers/acme/data.db | wc'");
    assert_eq!(
        script,
        Some(format!("sh -c 'cat </srv/customers/{hidden} | wc'"))
    );
    let mounts = text(
        "mounts",
        r#"[{"source":"/srv/customers/acme/data.db","target":"/x","options":"ro"}]"#,
    );
    assert!(mounts.is_some_and(|mounts| mounts.contains(&format!("/srv/customers/{hidden}"))));
    for other in [
        "/srv/customers",
        "/srv/customers-old/x",
        "/opt/srv/customers/x",
    ] {
        assert_eq!(text("path", other), None, "{other}");
    }
}

#[test]
fn another_name_of_a_hidden_file_is_hidden() {
    let redactor = redactor("[rules.customers]\nprefixes = ['/srv/customers/']", &[]);
    let hash = redactor.key.hash("data.db");
    let mut cache = RedactionCache::new(Arc::new(redactor));
    let mut name = |path: &str, arg: &str| cache.path_arg(Some(path), arg).map(|new| new.text);
    assert_eq!(
        name("/srv/customers/acme/data.db", "data.db"),
        Some(format!("<redacted:customers:{hash}>"))
    );
    assert_eq!(name("/etc/hosts", "data.db"), None);
    let absolute = name("/srv/customers/acme/data.db", "/srv/customers/acme/data.db");
    assert!(absolute.is_some_and(|new| new.starts_with("/srv/customers/<redacted:")));
}

#[test]
fn names_in_json_tell_secrets() {
    let labels = plain()
        .text("labels", r#"{"db.password":"hunter2","team":"shop"}"#)
        .expect("a secret")
        .text;
    let labels: Value = serde_json::from_str(&labels).expect("is JSON");
    assert_eq!(labels["team"], "shop");
    assert!(
        labels["db.password"]
            .as_str()
            .is_some_and(|text| text.starts_with("<redacted:password:"))
    );
}

#[test]
fn addresses_and_names_still_join() {
    let redactor = redactor("", &["peers", "names"]);
    let text = |column: &str, text: &str| redactor.text(column, text).map(|new| new.text);
    let hidden = |rule: &str, text: &str| format!("<redacted:{rule}:{}>", redactor.key.hash(text));
    let address = hidden("peers", "10.0.0.7");
    assert_eq!(text("peer_addr", "10.0.0.7"), Some(address.clone()));
    assert_eq!(
        text("addresses", "10.0.0.7 fd00::7"),
        Some(format!("{address} {}", hidden("peers", "fd00::7")))
    );
    assert_eq!(
        text("local_addr", "::ffff:10.0.0.7"),
        Some(format!("::ffff:{address}"))
    );
    let answers = text("dns_answers", r#"["10.0.0.7","web.example.com"]"#);
    assert_eq!(
        answers,
        Some(json!([address, hidden("names", "web.example.com")]).to_string())
    );
    assert_eq!(
        text("dns_name", "web.example.com"),
        Some(hidden("names", "web.example.com"))
    );
    for local in [
        "127.0.0.1",
        "::1",
        "::",
        "0.0.0.0",
        "224.0.0.251",
        "ff02::fb",
    ] {
        assert_eq!(text("peer_addr", local), None, "{local}");
    }
    assert_eq!(text("argv", "rustc std::vec 12:30:45"), None);
}

#[test]
fn ids_become_other_numbers() {
    let redactor = redactor("", &["users", "homes"]);
    let (id, _) = redactor.id(1000).expect("is replaced");
    assert_eq!(
        [redactor.id(0), redactor.id(u32::MAX), redactor.id(id)],
        [None; 3]
    );
    let text = |column: &str, text: &str| redactor.text(column, text).map(|new| new.text);
    assert_eq!(text("run_as", "1000:0"), Some(format!("{id}:0")));
    assert_eq!(text("run_as", &format!("{id}:0")), None);
    assert_eq!(
        text("path", "/run/user/1000/bus"),
        Some(format!("/run/user/{id}/bus"))
    );
    let home = text("path", "/home/alice/.ssh/id_rsa").expect("a user");
    assert!(
        home.starts_with("/home/<redacted:homes:") && home.ends_with(">/.ssh/id_rsa"),
        "{home}"
    );
    assert_eq!(redactor.id_number(-1), None);
}

#[test]
fn metadata_hold_nothing_of_conditions_and_file_names() {
    let redactor = redactor("", &["containers", "users", "hosts"]);
    let pairs = [
        (meta::KEY_HOST, "node1".to_string()),
        (meta::KEY_FILTERS, json!({ "container": ["payment"], "set": ["file"], "label": ["db-password=hunter2"] }).to_string()),
        (meta::KEY_DUMP, json!({ "reason": "trigger", "condition": "path = '/x/payment'", "uid": 1000, "time": 5 }).to_string()),
        (meta::KEY_CUT, json!({ "from": [{ "name": "payment.parquet", "sha256": "00" }],
            "conditions": { "container": ["payment"], "where": "path like '%payment%'", "since": "2026" }, "time": 7 }).to_string()),
        (meta::KEY_MERGED, json!({ "from": [{ "name": "payment", "sha256": null,
            "meta": { "ctrace.host": "node1", "ctrace.filters": "{\"container\":[\"payment\"]}" } }], "time": 7 }).to_string()),
        ("other.key", "payment".to_string()),
    ];
    let pairs = pairs.map(|(key, value)| (key.to_string(), value));
    let new = redactor.pairs(pairs.to_vec());
    let all = format!("{new:?}");
    for text in ["payment", "hunter2", "node1", "1000"] {
        assert!(!all.contains(text), "{text}: {all}");
    }
    for text in ["trigger", "file", "ctrace.cut", "2026"] {
        assert!(all.contains(text), "{text}: {all}");
    }
    assert_eq!(redactor.pairs(new.clone()), new, "replaced twice");
}

#[test]
fn the_metadata_tell_what_ran() {
    let entry = plain().entry(Some(r#"[{"key":"first"}]"#), Some(&[3]), "test", 9);
    let entry: Value = serde_json::from_str(&entry).expect("is JSON");
    assert_eq!(entry[0]["key"], "first");
    assert_eq!(entry[1]["random"], false);
    assert!(
        entry[1]["rules"]
            .as_object()
            .is_some_and(|rules| rules.contains_key("password") && !rules.contains_key("peers"))
    );
    assert_eq!(entry[1]["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn wrong_rules_are_explained() {
    for (file, words) in [
        ("rules = 3", "line 1"),
        (
            "[rules.a]\npatern = 'x'",
            "line 2: there is no key `patern`",
        ),
        (
            "[rules.a]\npatterns = ['(']",
            "rule `a`: the pattern is wrong",
        ),
        (
            "[rules.a]\nabout = 'x'",
            "`patterns` or `prefixes` is missing",
        ),
        ("[rules.A]\npatterns = ['x']", "lower-case"),
        (
            "[rules.a]\npatterns = ['x']\ncolumns = ['pathh']",
            "no column `pathh`",
        ),
        (
            "[rules.a]\npatterns = ['x']\ncolumns = ['kind']",
            "`kind` has no texts",
        ),
        (
            "[rules.a]\npatterns = ['x']\ncolumns = ['uid']",
            "numbers = true",
        ),
        ("[rules.a]\nprefixes = ['srv']", "absolute path"),
        ("off = ['passwords']", "there is no rule `passwords`"),
        ("defaults = false", "no rule is switched on"),
        (
            "[rules.a]\npatterns = ['(?:\\w{500}){500}']",
            "the pattern is wrong",
        ),
    ] {
        let error = Rules::new(Some(file), &Switches::default())
            .expect_err(file)
            .to_string();
        assert!(error.contains(words), "{file}: {error}");
    }
}

#[test]
fn rules_are_switched_by_name() {
    let secret = "app --password=x";
    assert!(
        redactor("off = ['password']", &[])
            .text("argv", secret)
            .is_none()
    );
    assert!(
        redactor("off = ['password']", &["password"])
            .text("argv", secret)
            .is_some()
    );
    // A rule of the same name takes the place of the default.
    let own = redactor("[rules.password]\npatterns = ['abc']", &[]);
    assert!(own.text("argv", secret).is_none() && own.text("argv", "abc").is_some());
}
