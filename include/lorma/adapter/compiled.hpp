// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_COMPILED_HPP
#define LORMA_ADAPTER_COMPILED_HPP

/// The adapters in lorma::compiled: those of lorma's inflations and both sides on the backend
/// EigenCpu, in float and double: every route behind the door, and the operations of order Auto.
///
/// With LORMA_COMPILED, which the target lorma::compiled defines, they are linked; everything else
/// stays a template. src/adapter_*.cpp instantiate them, one file per inflation. A program that
/// links them needs the LORMA_ABI that the library was compiled with.

#include "lorma/adapter/adapter.hpp"

// NOLINTBEGIN(bugprone-macro-parentheses): arguments are types and linkages, not values.
/// `linkage` is `extern template` or `template`.
#define LORMA_COMPILED_WEIGHT(linkage, S, Inflation, Evaluation, Side, T) \
  linkage struct detail::MergeRoute<Evaluation, S, Inflation, Side, EigenCpu, T, T>;

/// One evaluation of an inflation, at both places.
#define LORMA_COMPILED_ROUTE(linkage, S, Inflation, Evaluation, Side, place)               \
  linkage struct detail::ForwardRoute<StaticRoute<place, Evaluation>, S, Inflation, Side,  \
                                      EigenCpu, detail::EntriesWeight<EigenCpu, S>>;       \
  linkage struct detail::BackwardRoute<StaticRoute<place, Evaluation>, S, Inflation, Side, \
                                       EigenCpu, detail::EntriesWeight<EigenCpu, S>>;

#define LORMA_COMPILED_EVALUATION(linkage, S, Inflation, Evaluation)               \
  linkage struct detail::ActionRoute<Evaluation, S, Inflation, EigenCpu>;          \
  LORMA_COMPILED_ROUTE(linkage, S, Inflation, Evaluation, Pre, Where::Activation)  \
  LORMA_COMPILED_ROUTE(linkage, S, Inflation, Evaluation, Pre, Where::Weight)      \
  LORMA_COMPILED_ROUTE(linkage, S, Inflation, Evaluation, Post, Where::Activation) \
  LORMA_COMPILED_ROUTE(linkage, S, Inflation, Evaluation, Post, Where::Weight)     \
  LORMA_COMPILED_WEIGHT(linkage, S, Inflation, Evaluation, Pre, S)                 \
  LORMA_COMPILED_WEIGHT(linkage, S, Inflation, Evaluation, Post, S)

/// Weights of 16 bits are merged by the cheap evaluation of each inflation.
#define LORMA_COMPILED_STORED(linkage, Inflation, Evaluation, T)        \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Evaluation, Pre, T)  \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Evaluation, Post, T) \
  linkage struct detail::Unmerge<float, Inflation, Pre, EigenCpu, T>;   \
  linkage struct detail::Unmerge<float, Inflation, Post, EigenCpu, T>;

#define LORMA_COMPILED_SIDE(linkage, S, Inflation, Side)                               \
  linkage struct detail::Forward<S, Inflation, Auto, Side, EigenCpu,                   \
                                 detail::EntriesWeight<EigenCpu, S>>;                  \
  linkage struct detail::Backward<S, Inflation, Auto, Side, EigenCpu,                  \
                                  detail::EntriesWeight<EigenCpu, S>>;                 \
  linkage struct detail::Unmerge<S, Inflation, Side, EigenCpu, S>;                     \
  linkage class AdapterView<S, Inflation, Auto, Side, EigenCpu>;                       \
  linkage class AdapterView<S, Inflation, Auto, Side, EigenCpu, detail::OwnedFactors>; \
  linkage class Adapter<S, Inflation, Auto, Side, EigenCpu>;                           \
  LORMA_COMPILED_VERBS(linkage, S, Inflation, Side, detail::BorrowedFactors)           \
  LORMA_COMPILED_VERBS(linkage, S, Inflation, Side, detail::OwnedFactors)

/// The operations on matrices of lorma's own type.
#define LORMA_COMPILED_VERBS(linkage, S, Inflation, Side, Storage)                                 \
  linkage Matrix<S> AdapterView<S, Inflation, Auto, Side, EigenCpu, Storage>::forward_result(      \
      const Matrix<S>&, const Matrix<S>&, lorma::Workspace&) const;                                \
  linkage Matrix<S> AdapterView<S, Inflation, Auto, Side, EigenCpu, Storage>::forward_result(      \
      const Matrix<S>&, const Matrix<S>&, BasicTape<S, EigenCpu>&) const;                          \
  linkage void AdapterView<S, Inflation, Auto, Side, EigenCpu, Storage>::run_forward(              \
      Matrix<S>&, const Matrix<S>&, const Matrix<S>&, lorma::Workspace&, BasicTape<S, EigenCpu>*)  \
      const;                                                                                       \
  linkage void AdapterView<S, Inflation, Auto, Side, EigenCpu, Storage>::backward_into(            \
      lorma::Gradients<S, EigenCpu>&, const Matrix<S>&, const Matrix<S>&, BasicTape<S, EigenCpu>&) \
      const;                                                                                       \
  linkage void AdapterView<S, Inflation, Auto, Side, EigenCpu, Storage>::backward_into(            \
      Matrix<S>&, Matrix<S>&, Matrix<S>&, const Matrix<S>&, const Matrix<S>&,                      \
      BasicTape<S, EigenCpu>&, bool) const;                                                        \
  linkage void AdapterView<S, Inflation, Auto, Side, EigenCpu, Storage>::merge_into(               \
      Matrix<S>&, const Matrix<S>&, lorma::Workspace&, Finiteness) const;

/// `Evaluation` is the one that is not Dense.
#define LORMA_COMPILED_INFLATION(linkage, Inflation, Evaluation)                 \
  LORMA_COMPILED_EVALUATION(linkage, float, Inflation, Evaluation)               \
  LORMA_COMPILED_EVALUATION(linkage, double, Inflation, Evaluation)              \
  LORMA_COMPILED_EVALUATION(linkage, float, Inflation, Dense)                    \
  LORMA_COMPILED_EVALUATION(linkage, double, Inflation, Dense)                   \
  LORMA_COMPILED_STORED(linkage, Inflation, Evaluation, Eigen::half)             \
  LORMA_COMPILED_STORED(linkage, Inflation, Evaluation, Eigen::bfloat16)         \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Dense, Pre, Eigen::half)      \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Dense, Post, Eigen::half)     \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Dense, Pre, Eigen::bfloat16)  \
  LORMA_COMPILED_WEIGHT(linkage, float, Inflation, Dense, Post, Eigen::bfloat16) \
  LORMA_COMPILED_SIDE(linkage, float, Inflation, Pre)                            \
  LORMA_COMPILED_SIDE(linkage, float, Inflation, Post)                           \
  LORMA_COMPILED_SIDE(linkage, double, Inflation, Pre)                           \
  LORMA_COMPILED_SIDE(linkage, double, Inflation, Post)

/// What all of them share.
#define LORMA_COMPILED_SHARED(linkage, S)                                                        \
  linkage class detail::BorrowedFactors<S, EigenCpu>;                                            \
  linkage struct detail::OwnedFactors<S, EigenCpu>;                                              \
  linkage class detail::TapeStage<S, EigenCpu>;                                                  \
  linkage class BasicTape<S, EigenCpu>;                                                          \
  linkage struct Gradients<S, EigenCpu>;                                                         \
  linkage void Door<EigenCpu>::read(const Factors<S>&);                                          \
  linkage Readable<S> Door<EigenCpu>::read(std::string_view, const Matrix<S>&);                  \
  linkage void detail::check_factors(std::string_view, const Factors<S>&);                       \
  linkage void detail::check_weight<Pre>(std::string_view, std::string_view, const Factors<S>&,  \
                                         Index, Index);                                          \
  linkage void detail::check_weight<Post>(std::string_view, std::string_view, const Factors<S>&, \
                                          Index, Index);                                         \
  linkage void detail::check_finiteness<EigenCpu>(std::string_view, Finiteness, Workspace&,      \
                                                  const Factors<S>&, const MatrixView<const S>&);

// NOLINTEND(bugprone-macro-parentheses)

#ifdef LORMA_COMPILED
namespace lorma::inline LORMA_ABI {
extern template class BasicWorkspace<HostMemory>;
extern template void detail::refuse_shape<ShapeError>(std::string_view, std::string_view, Index,
                                                      Index, Index, Index);
LORMA_COMPILED_SHARED(extern template, float)
LORMA_COMPILED_SHARED(extern template, double)
LORMA_COMPILED_INFLATION(extern template, Identity, Factored)
LORMA_COMPILED_INFLATION(extern template, CyclicPermutation, Spectral)
LORMA_COMPILED_INFLATION(extern template, None, Factored)
}  // namespace lorma::inline LORMA_ABI
#endif

#endif
