// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_ERROR_HPP
#define LORMA_CORE_ERROR_HPP

/// Every exception of the library. A message names the function, what it expected and what it got;
/// arguments are checked before anything is written, so the caller's data is unchanged.

#include <stdexcept>
#include <string>
#include <string_view>

#include "lorma/core/config.hpp"

namespace lorma::inline LORMA_ABI {

/// Base of all errors thrown by lorma.
class Error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Sizes that do not fit together, or are not positive where they must be.
class ShapeError : public Error {
  using Error::Error;
};

/// A matrix that had to be invertible is singular to working precision.
class RankDeficient : public Error {
  using Error::Error;
};

/// A NaN or an infinity where finite numbers are required.
class NonFinite : public Error {
  using Error::Error;
};

/// A file, or a text, that breaks a rule of its format.
class FormatError : public Error {
  using Error::Error;
};

/// A backend that is absent, or a call to it that failed.
class BackendError : public Error {
  using Error::Error;
};

namespace detail {

/// "d x k", as shapes are written in messages.
inline std::string shape(Eigen::Index rows, Eigen::Index cols) {
  return std::to_string(rows) + " x " + std::to_string(cols);
}

/// Says which shape was expected. A template so that lorma::compiled can hold it.
template <typename E>
[[noreturn]] void refuse_shape(std::string_view function, std::string_view what, Eigen::Index rows,
                               Eigen::Index cols, Eigen::Index want_rows, Eigen::Index want_cols) {
  throw E("lorma::" + std::string(function) + ": expected " + std::string(what) + " to be " +
          shape(want_rows, want_cols) + ", got " + shape(rows, cols));
}

/// Throws ShapeError unless (rows, cols) is (want_rows, want_cols).
inline void check_shape(std::string_view function, std::string_view what, Eigen::Index rows,
                        Eigen::Index cols, Eigen::Index want_rows, Eigen::Index want_cols) {
  if (rows == want_rows && cols == want_cols) return;
  refuse_shape<ShapeError>(function, what, rows, cols, want_rows, want_cols);
}

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
