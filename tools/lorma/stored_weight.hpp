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

/// A 2-D tensor in S, as stored; its pages are given back.
template <typename S>
lorma::RowMajorMatrix<S> load(const lorma::SafetensorsFile& file,
                              const lorma::StoredTensor& tensor);

/// The bytes of W in `type`, each element rounded to nearest once. Throws lorma::NonFinite, with
/// the name, for NaN and infinity (also where the type holds no larger number).
template <typename S>
std::vector<std::byte> rounded(const std::string& name, const lorma::RowMajorMatrix<S>& W,
                               lorma::Dtype type);

}  // namespace lorma_tool

#endif
