//! What can be wrong with a data set.

use std::fmt;
use std::path::{Path, PathBuf};

use staticnet::preprocess::PictureError;

/// Why a data set or one of its pictures cannot be used. The text names the file and says what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataError {
    /// Nothing is at this path.
    Missing {
        /// The path asked for.
        path: PathBuf,
    },
    /// A folder was expected.
    NotAFolder {
        /// The path asked for.
        path: PathBuf,
    },
    /// The folder holds neither class folders nor files of a known data set.
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// A class folder without a picture.
    EmptyClass {
        /// The class folder.
        path: PathBuf,
    },
    /// A class folder that holds another folder.
    NestedFolder {
        /// The inner folder.
        path: PathBuf,
    },
    /// A class of the test samples that the training samples do not have.
    UnknownClass {
        /// The class folder.
        path: PathBuf,
        /// The folder of the training samples.
        train: PathBuf,
    },
    /// The folder is not split and no class has enough pictures to hold one out.
    NothingHeldOut {
        /// The folder of the classes.
        path: PathBuf,
    },
    /// The operating system refused to read.
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        reason: String,
    },
    /// A picture that cannot be decoded.
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Pictures that cannot be used, all there are.
    Pictures {
        /// What is wrong with each.
        bad: Vec<DataError>,
    },
    /// No picture can be used.
    NoneUsable {
        /// So many there are.
        pictures: usize,
        /// What is wrong with the first.
        first: Box<DataError>,
    },
    /// What is known about pictures cannot be written down.
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
    /// An IDX or CIFAR file that is not what its name promises.
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What the file has instead.
        found: String,
    },
    /// A decoded picture that cannot be fitted into the network's input.
    Preprocess {
        /// The sample, as `DataSet::name` calls it.
        name: String,
        /// What does not fit.
        error: PictureError,
    },
}

impl DataError {
    pub(super) fn read(path: &Path, error: &std::io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), reason: error.to_string() }
    }

    pub(super) fn picture(path: &Path, reason: impl Into<String>) -> Self {
        Self::Picture { path: path.to_path_buf(), reason: reason.into() }
    }

    pub(super) fn format(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Format { path: path.to_path_buf(), expected: expected.into(), found: found.into() }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(f, "{}: no such file or folder", path.display()),
            Self::NotAFolder { path } => write!(
                f,
                "{}: is a file; a data set is a folder with one sub-folder per class, or with IDX or CIFAR-10 binary files",
                path.display()
            ),
            Self::NoClasses { path } => write!(
                f,
                "{}: holds no class folders (one sub-folder of JPEG or PNG pictures per class, optionally inside train/ and test/) \
                 and no IDX or CIFAR-10 binary files",
                path.display()
            ),
            Self::EmptyClass { path } => {
                write!(f, "{}: the class folder is empty; put pictures into it or remove it", path.display())
            }
            Self::NestedFolder { path } => {
                write!(f, "{}: a folder within a class folder; a class folder holds pictures only", path.display())
            }
            Self::UnknownClass { path, train } => {
                write!(f, "{}: {} has no class of this name to train it on", path.display(), train.display())
            }
            Self::NothingHeldOut { path } => write!(
                f,
                "{}: no class has the 10 pictures from which one is held out for testing; add pictures or split them into train/ and test/",
                path.display()
            ),
            Self::Read { path, reason } => write!(f, "{}: cannot be read: {reason}", path.display()),
            Self::Picture { path, reason } => write!(f, "{}: cannot be used as a picture: {reason}", path.display()),
            Self::Pictures { bad } => {
                write!(
                    f,
                    "{} of the pictures cannot be used; repair, replace or remove them, or skip the bad ones:",
                    bad.len()
                )?;
                bad.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
            Self::NoneUsable { pictures, first } => {
                write!(f, "none of {pictures} pictures can be used; the first: {first}")
            }
            Self::Write { path, reason } => write!(f, "{}: cannot be written: {reason}", path.display()),
            Self::Format { path, expected, found } => write!(f, "{}: expected {expected}, found {found}", path.display()),
            Self::Preprocess { name, error } => match error {
                PictureError::Size => write!(f, "{name}: a side is 0 or above 65,535 pixels"),
                PictureError::Length => write!(f, "{name}: the number of bytes is not height x width x channels"),
                PictureError::Channels => write!(f, "{name}: neither grey nor RGB"),
                PictureError::Line => write!(f, "{name}: the memory for a line of pixels is too short"),
                PictureError::Destination => write!(f, "{name}: the destination has not the network's input size"),
            },
        }
    }
}

impl std::error::Error for DataError {}
