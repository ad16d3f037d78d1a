//! Signatures of files in the format of minisign (<https://jedisct1.github.io/minisign/>): `minisign -V -m FILE -p KEY.pub`
//! verifies them.

use std::fs::{self, File};
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use chrono::Utc;
use ct_codecs::{Base64, Decoder};
use ctrace_format::names;
use minisign::{PublicKey, SecretKey, SignatureBox};

use crate::files;

/// The key of `--sign`.
pub(crate) struct Signer {
    secret: SecretKey,
    public: PublicKey,
}

impl Signer {
    /// Reads the secret key at `path`, which has no password: nobody is there to type it.
    ///
    /// # Errors
    /// The file cannot be read, or is not a secret key without a password.
    pub(crate) fn read(path: &Path) -> Result<Signer> {
        let name = path.display();
        let make = "`minisign -G -W -s KEY -p KEY.pub` makes a key without a password";
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the key {name} of --sign: {make}"))?;
        let not_key = |e: String| anyhow!("{name} is not a secret key of minisign: {e}; {make}");
        let secret = secret_key(&text).map_err(not_key)?;
        if secret.is_encrypted() {
            bail!("the key {name} of --sign has a password, which nobody is there to type: {make}");
        }
        let public = PublicKey::from_secret_key(&secret).map_err(|e| not_key(e.to_string()))?;
        // Keys without a password have no checksum. The signature of a damaged key does not fit its public part.
        minisign::sign(Some(&public), &secret, io::empty(), None, None)
            .map_err(|e| not_key(e.to_string()))?;
        let mode = path.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!(
                "the key {name} of --sign can be read by other users, who could sign as well: `chmod 600 {name}`"
            );
        }
        Ok(Signer { secret, public })
    }

    /// Signs the content of `file`, and writes the signature to [`signature_path`] of `path`.
    ///
    /// # Errors
    /// The file cannot be read, or the signature cannot be written.
    pub(crate) fn sign(&self, mut file: &File, path: &Path) -> Result<()> {
        if !file.metadata()?.is_file() {
            bail!("it is not a regular file");
        }
        file.seek(SeekFrom::Start(0))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let time = Utc::now().timestamp();
        let comment = format!("timestamp:{time}\tfile:{name}\thashed");
        let signature = minisign::sign(
            Some(&self.public),
            &self.secret,
            file,
            Some(&comment),
            Some("signature of ctrace-rec"),
        )?;
        let to = signature_path(path);
        let partial = names::partial(&to);
        let mut out = files::create_anew(&partial)?;
        out.write_all(signature.to_string().as_bytes())?;
        out.sync_all()?;
        fs::rename(&partial, &to)?;
        Ok(())
    }

    /// Checks the signature of `content`, the content of the file at `path`.
    ///
    /// # Errors
    /// There is no valid signature.
    pub(crate) fn check(&self, content: &[u8], path: &Path) -> Result<()> {
        let signature = SignatureBox::from_file(signature_path(path))?;
        minisign::verify(
            &self.public,
            &signature,
            Cursor::new(content),
            true,
            false,
            false,
        )?;
        Ok(())
    }
}

/// Decodes the second line of the file of a secret key. The crate itself reads keys with a checksum only, which minisign does
/// not write without a password.
fn secret_key(text: &str) -> Result<SecretKey, String> {
    let line = text.lines().nth(1).ok_or("it has no second line")?;
    let bytes = Base64::decode_to_vec(line.trim(), None).map_err(|e| e.to_string())?;
    SecretKey::from_bytes(&bytes).map_err(|e| e.to_string())
}

/// Returns the path of the signature of a file: `.minisig` is appended to the name.
pub(crate) fn signature_path(path: &Path) -> PathBuf {
    names::with_suffix(path, names::SIGNATURE)
}
