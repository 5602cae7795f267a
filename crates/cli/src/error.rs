//! Failures of the command and the exit codes they end it with.

use crate::npz;
use ferrolite::ErrorKind;
use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why the command did not succeed. The discriminant is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Results differ from the reference beyond the tolerance.
    Comparison = 1,
    /// Arguments or input files that make no sense.
    Usage = 2,
    /// The model is malformed or uses what is not supported.
    Model = 3,
    /// Something failed while running or writing.
    Runtime = 4,
    /// Whoever read the output has stopped reading; not a failure.
    OutputClosed = 0,
}

/// A failure: its exit code and a sentence for the user.
#[derive(Debug)]
pub struct Error {
    exit: Exit,
    message: String,
}

impl Error {
    /// Results beyond tolerance (exit 1).
    pub fn comparison(message: impl Into<String>) -> Self {
        Self { exit: Exit::Comparison, message: message.into() }
    }

    /// Bad usage (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// The same failure with what it happened to in front.
    #[must_use]
    pub fn about(self, what: impl fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// A failure while running (exit 4).
    pub fn runtime(message: impl Into<String>) -> Self {
        Self { exit: Exit::Runtime, message: message.into() }
    }

    /// Tells the user, unless nobody reads any more, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        if self.exit != Exit::OutputClosed {
            eprintln!("error: {self}");
        }
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ferrolite::Error> for Error {
    fn from(error: ferrolite::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::BadModel | ErrorKind::Unsupported | ErrorKind::Io => Exit::Model,
            ErrorKind::InvalidInput => Exit::Usage,
            _ => Exit::Runtime,
        };
        Self { exit, message: error.to_string() }
    }
}

impl From<npz::Error> for Error {
    fn from(error: npz::Error) -> Self {
        match error {
            npz::Error::Read(message) => Self::usage(message),
            npz::Error::Write(message) => Self::runtime(message),
        }
    }
}

/// Failures of writing to standard output. Files name themselves where they are opened.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { exit: Exit::OutputClosed, message: String::new() },
            _ => Self::runtime(format!("cannot write the output: {error}")),
        }
    }
}
