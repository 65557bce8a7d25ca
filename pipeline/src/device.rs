//! Where models run: on the CPU or on an NVIDIA GPU.

#[cfg(feature = "cuda")]
pub(crate) mod pool;

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use candle_core::{DType, Device};
use qponder_shared::recipe::Precision;

/// A device by name: `cpu`, `cuda`, or `cuda:1` for the second GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Cpu,
    /// The GPU of this index.
    Cuda(usize),
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("`{0}` is no device: use cpu, cuda, or cuda:N for the GPU of index N")]
    Name(String),
    #[error("this qponder was built without CUDA: `cargo xtask cuda build` builds one that has it")]
    NoCuda,
    #[error("cannot use {place}: {source}; `nvidia-smi` lists the GPUs, and --device cpu does without")]
    Open { place: Place, source: candle_core::Error },
}

impl Default for Place {
    /// The first GPU where this program was built for CUDA, else the CPU.
    fn default() -> Self {
        if cfg!(feature = "cuda") { Self::Cuda(0) } else { Self::Cpu }
    }
}

impl FromStr for Place {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Name(name.to_owned());
        match name.split_once(':') {
            None if name == "cpu" => Ok(Self::Cpu),
            None if name == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl Place {
    /// Opens the device.
    ///
    /// # Errors
    /// When this program was built without CUDA, or there is no such GPU.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(DeviceError::NoCuda),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => {
                let open = || {
                    // One stream for all threads: each would have its own otherwise, and nothing would wait for
                    // what another thread copies or computes.
                    let device = Device::new_cuda_with_stream(index)?;
                    // SAFETY: events keep streams in order, and there is only one.
                    unsafe { device.as_cuda_device()?.disable_event_tracking() };
                    pool::keep(&device)?;
                    Ok(device)
                };
                open().map_err(|source| DeviceError::Open { place: self, source })
            }
        }
    }

    /// What models answer in here: the CPU has no fast bf16.
    pub(crate) fn inference_dtype(self) -> DType {
        match self {
            Self::Cpu => DType::F32,
            Self::Cuda(_) => DType::BF16,
        }
    }
}

/// candle's name of what a recipe computes in.
pub(crate) fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn devices_have_names() {
        for (name, place) in [("cpu", Place::Cpu), ("cuda:0", Place::Cuda(0)), ("cuda:3", Place::Cuda(3))] {
            assert_eq!(name.parse::<Place>().ok(), Some(place));
            assert_eq!(place.to_string(), name);
        }
        assert_eq!("cuda".parse::<Place>().ok(), Some(Place::Cuda(0)));
        for name in ["", "gpu", "cuda:", "cuda:-1", "cpu:0", "CUDA"] {
            assert!(name.parse::<Place>().is_err(), "{name}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_so() {
        let error = Place::Cuda(0).open().expect_err("it has no CUDA").to_string();
        assert!(error.contains("cargo xtask cuda build"), "{error}");
    }
}
