//! What the terminal can show: colours and progress.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr, stdout};
use std::time::Duration;

/// Text attributes, applied only where the output shows them.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    enabled: bool,
}

impl Style {
    /// Colours for standard output: on a terminal, unless `NO_COLOR` is set to something or
    /// `TERM` is `dumb`.
    pub fn for_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { enabled: stdout().is_terminal() && !refused && !dumb }
    }

    /// No attributes at all.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { enabled: false }
    }

    /// Every attribute, whatever the output is.
    #[cfg(test)]
    pub fn coloured() -> Self {
        Self { enabled: true }
    }

    /// Whether colours are shown.
    pub fn enabled(self) -> bool {
        self.enabled
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.enabled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// For headings.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// For what matters less.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// For what is right.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// For what is wrong.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

/// A bar on standard error over `total` steps; invisible where that is no terminal.
pub fn progress_bar(total: u64, what: &str) -> ProgressBar {
    let bar = if stderr().is_terminal() { ProgressBar::new(total) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// A turning mark on standard error while `what` lasts; invisible where that is no terminal.
pub fn spinner(what: &str) -> ProgressBar {
    let spinner = if stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    spinner.set_message(what.to_owned());
    // Turning takes a thread, which nobody would see.
    if !spinner.is_hidden() {
        spinner.enable_steady_tick(Duration::from_millis(120));
    }
    spinner
}
