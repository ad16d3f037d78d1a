//! A directory of segments that is proved: a segment, its signature, and the signed manifest.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// The public key in the manual of minisign.
const KEY: &str =
    "untrusted comment: minisign\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    let Some([manifest, signature, segment]) = ctrace_fuzz::parts(bytes) else {
        return;
    };
    for (name, content) in [
        (".manifest.jsonl", manifest),
        (".manifest.jsonl.minisig", signature),
        (ctrace_fuzz::SEGMENT, segment),
    ] {
        ctrace_fuzz::write(&format!("host/{name}"), content);
    }
    ctrace_fuzz::write(&format!("host/{}.minisig", ctrace_fuzz::SEGMENT), signature);
    let key = ctrace_fuzz::write("key.pub", KEY.as_bytes());
    ctrace_fuzz::verify(&ctrace_fuzz::file("host"), &key);
});
