//! Signatures in the format of minisign, in a file beside the signed one.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use ctrace_format::{names, regular};
use ctrace_schema::text::path_text;
use minisign_verify::{Signature, StreamVerifier};

/// A public key of minisign.
pub(crate) struct PublicKey(minisign_verify::PublicKey);

impl PublicKey {
    /// Reads the key in the file `path`, as `minisign -G` writes it.
    ///
    /// # Errors
    /// The file cannot be read, or is not a public key.
    pub(crate) fn read(path: &Path) -> anyhow::Result<PublicKey> {
        let name = path_text(path);
        let text = regular::read_to_string(path)
            .with_context(|| format!("cannot read the public key {name}"))?;
        let key = minisign_verify::PublicKey::decode(&text)
            .map_err(|e| anyhow!("{name} is not a public key of minisign: {e}"))?;
        Ok(PublicKey(key))
    }

    /// Begins to check a file by its signature.
    ///
    /// # Errors
    /// The file has no signature, or one that another key made. The error is a sentence.
    pub(crate) fn begin<'a>(
        &'a self,
        signature: &'a FileSignature,
    ) -> Result<StreamVerifier<'a>, String> {
        let signature = signature.0.as_ref().map_err(Clone::clone)?;
        self.0
            .verify_stream(signature)
            .map_err(|e| format!("its signature does not fit the key: {e}"))
    }

    /// Checks a whole content. Returns the trusted comment of the signature.
    ///
    /// # Errors
    /// The content has no signature, or another. The error is a sentence.
    pub(crate) fn check(
        &self,
        signature: &FileSignature,
        content: &[u8],
    ) -> Result<String, String> {
        let mut verifier = self.begin(signature)?;
        verifier.update(content);
        let verified = verifier.finalize();
        verified.map_err(|e| format!("its signature is wrong: {e}"))?;
        Ok(signature.comment())
    }
}

/// The signature beside a file, or the reason why there is none.
pub(crate) struct FileSignature(Result<Signature, String>);

impl FileSignature {
    /// Reads the signature of the file at `path`.
    pub(crate) fn of(path: &Path) -> FileSignature {
        let signature = signature_path(path);
        FileSignature(match signature.is_file() {
            false => Err(format!("there is no {}", path_text(&signature))),
            true => Signature::from_file(&signature)
                .map_err(|e| format!("{} is not a signature: {e}", path_text(&signature))),
        })
    }

    /// Returns the trusted comment, whose parts are separated by spaces.
    pub(crate) fn comment(&self) -> String {
        let comment = self.0.as_ref().map(Signature::trusted_comment);
        comment.unwrap_or_default().replace('\t', " ")
    }
}

fn signature_path(path: &Path) -> PathBuf {
    names::with_suffix(path, names::SIGNATURE)
}
