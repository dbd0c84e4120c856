// SPDX-License-Identifier: Apache-2.0
// Each component that was asked for is there, with the headers and libraries of others under it.
#include <lorma/core/types.hpp>

#if defined(WANTED_blas) && !defined(EIGEN_USE_BLAS)
#error "the component blas puts no BLAS under Eigen"
#endif
#if defined(WANTED_openmp) && !defined(_OPENMP)
#error "the component openmp brings no OpenMP"
#endif
#ifdef WANTED_lapacke
#ifndef LORMA_WITH_LAPACKE
#error "the component lapacke does not switch LAPACKE on"
#endif
#include <lapacke.h>
#endif
#ifdef WANTED_compiled
#ifndef LORMA_COMPILED
#error "the component compiled still compiles everything"
#endif
#include <lorma/lorma.hpp>
#endif
#ifdef WANTED_safetensors
#include <nlohmann/json_fwd.hpp>
#endif
#ifdef WANTED_compiled_model
#ifndef LORMA_COMPILED_MODEL
#error "the component compiled_model still compiles everything"
#endif
#include <lorma/model/checkpoint.hpp>
#endif
#ifdef WANTED_patterns
#include <lorma/patterns/pattern.hpp>
#endif

int main() {
  int failed = 0;
#ifdef WANTED_blas
  const Eigen::MatrixXf a = Eigen::MatrixXf::Ones(40, 40);
  failed += (a * a)(0, 0) == 40.0F ? 0 : 1;
#endif
#ifdef WANTED_lapacke
  failed += LAPACKE_dlamch('E') < 1e-15 ? 0 : 1;
#endif
#ifdef WANTED_compiled
  const Eigen::MatrixXd W0 = Eigen::MatrixXd::Identity(6, 6);
  const lorma::Adapter<double> adapter(6, 1, 1.0);
  failed += adapter.forward(W0, W0) == W0 ? 0 : 1;
#endif
#ifdef WANTED_compiled_model
  try {
    lorma::model::Checkpoint("absent.safetensors");
    ++failed;
  } catch (const lorma::Error&) {
  }
#endif
#ifdef WANTED_patterns
  failed += lorma::Pattern("a{1,}").matches("aa") ? 0 : 1;
#endif
  return failed;
}
