// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_STORED_WEIGHT_HPP
#define LORMA_TOOLS_STORED_WEIGHT_HPP

/// Weights between their type on disk and the type of arithmetic.

#include <cstddef>
#include <lorma/io/safetensors.hpp>
#include <vector>

namespace lorma_tool {

/// Whether a type has arithmetic here: F64, F32, F16, BF16.
bool has_arithmetic(lorma::Dtype type);

/// Whether type, shape and every byte are the same.
bool same_bytes(const lorma::StoredTensor& a, const lorma::StoredTensor& b);

/// Distance from 1 to the next number of a type that has arithmetic.
double epsilon_of(lorma::Dtype type);

/// W becomes a 2-D tensor, as stored; the tensor's pages are given back.
template <typename S>
void load(const lorma::SafetensorsFile& file, const lorma::StoredTensor& tensor,
          lorma::RowMajorMatrix<S>& W);

/// `bytes` become those of W in `type`, each element rounded to nearest once. Throws
/// lorma::NonFinite, with the name, for NaN and infinity (also where the type holds no larger
/// number).
template <typename S>
void round(const std::string& name, const lorma::RowMajorMatrix<S>& W, lorma::Dtype type,
           std::vector<std::byte>& bytes);

}  // namespace lorma_tool

#endif
