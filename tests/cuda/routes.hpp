// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_CUDA_ROUTES_HPP
#define LORMA_TESTS_CUDA_ROUTES_HPP

/// The routes of adapters on CuBlas that these tests share: compiled once, by routes.cpp.

#include <lorma/cublas.hpp>

#define LORMA_TEST_ROUTE(linkage, S, Inflation, Evaluation, Side, place)                           \
  linkage struct detail::ForwardRoute<StaticRoute<place, Evaluation>, S, Inflation, Side, CuBlas,  \
                                      detail::EntriesWeight<CuBlas, S>>;                           \
  linkage struct detail::BackwardRoute<StaticRoute<place, Evaluation>, S, Inflation, Side, CuBlas, \
                                       detail::EntriesWeight<CuBlas, S>>;

#define LORMA_TEST_EVALUATION(linkage, S, Inflation, Evaluation)                   \
  linkage struct detail::ActionRoute<Evaluation, S, Inflation, CuBlas>;            \
  linkage struct detail::MergeRoute<Evaluation, S, Inflation, Pre, CuBlas, S, S>;  \
  linkage struct detail::MergeRoute<Evaluation, S, Inflation, Post, CuBlas, S, S>; \
  LORMA_TEST_ROUTE(linkage, S, Inflation, Evaluation, Pre, Where::Activation)      \
  LORMA_TEST_ROUTE(linkage, S, Inflation, Evaluation, Pre, Where::Weight)          \
  LORMA_TEST_ROUTE(linkage, S, Inflation, Evaluation, Post, Where::Activation)     \
  LORMA_TEST_ROUTE(linkage, S, Inflation, Evaluation, Post, Where::Weight)

#define LORMA_TEST_ROUTES(linkage, S)                            \
  LORMA_TEST_EVALUATION(linkage, S, Identity, Factored)          \
  LORMA_TEST_EVALUATION(linkage, S, Identity, Dense)             \
  LORMA_TEST_EVALUATION(linkage, S, None, Factored)              \
  LORMA_TEST_EVALUATION(linkage, S, None, Dense)                 \
  LORMA_TEST_EVALUATION(linkage, S, CyclicPermutation, Spectral) \
  LORMA_TEST_EVALUATION(linkage, S, CyclicPermutation, Dense)

namespace lorma::inline LORMA_ABI {
LORMA_TEST_ROUTES(extern template, float)
LORMA_TEST_ROUTES(extern template, double)
}  // namespace lorma::inline LORMA_ABI

#endif
