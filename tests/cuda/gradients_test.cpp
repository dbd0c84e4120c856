// SPDX-License-Identifier: Apache-2.0
// Gradients that are added to what is there, and gradients that nobody wants.

#include <doctest/doctest.h>

#include "../support/random_matrices.hpp"
#include "on_device.hpp"

using namespace lorma;
using lorma_tests::distance;
using lorma_tests::norm;
using lorma_tests::random_matrix;
using lorma_tests::test_context;
using lorma_tests::Uploaded;

namespace {

template <typename S, typename I, typename O, typename W = S>
struct Case {
  using Scalar = S;
  using Inflation = I;
  using Order = O;
  using Weight = W;
};

/// One layer after its forward, and outputs in parents of both orders that hold ones.
template <typename C, typename Side>
struct Step {
  using S = typename C::Scalar;
  using A = Adapter<S, typename C::Inflation, typename C::Order, Side, CuBlas>;
  using RowMajor = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  static constexpr Index d = 9, k = 7, b = 8, r = 2;

  explicit Step(const CudaContext& context)
      : adapter(context, Side::dim(d, k), r, 2.0F),
        W0(to_device(context, random_matrix<double>(d, k, 3).template cast<typename C::Weight>())),
        G(to_device(context, random_matrix<double>(d, b, 4).template cast<S>())),
        tape(context),
        n(Side::dim(d, k)),
        dX(RowMajor::Constant(k, b, S(1))),
        dA(RowMajor::Constant(r, n, S(1))),
        dB(Matrix<S>::Constant(n, r, S(1))) {
    adapter.set_factors(random_matrix<double>(n, r, 1).template cast<S>(),
                        random_matrix<double>(r, n, 2).template cast<S>());
    adapter.forward(W0, to_device(context, random_matrix<double>(k, b, 5).template cast<S>()),
                    tape);
  }

  A adapter;
  DeviceMatrix<typename C::Weight> W0;
  DeviceMatrix<S> G;
  typename A::Tape tape;
  Index n;
  Uploaded<S> dX, dA, dB;
};

}  // namespace

TEST_CASE_TEMPLATE("gradients on the device are added to, or left out", C,
                   Case<double, Identity, ActivationFirst<Factored>>,
                   Case<double, None, WeightFirst<Factored>>,
                   Case<double, CyclicPermutation, ActivationFirst<Dense>>,
                   Case<double, CyclicPermutation, ActivationFirst<Spectral>>,
                   Case<float, CyclicPermutation, WeightFirst<Spectral>, Eigen::half>,
                   Case<float, Identity, ActivationFirst<Dense>, Eigen::bfloat16>,
                   Case<Eigen::half, CyclicPermutation, ActivationFirst<Spectral>>,
                   Case<Eigen::bfloat16, CyclicPermutation, ActivationFirst<Dense>>,
                   Case<Eigen::bfloat16, Identity, ActivationFirst<Factored>>) {
  using S = typename C::Scalar;
  const auto check = [](const CudaContext& context, auto side) {
    using L = Step<C, decltype(side)>;
    const auto plain = [](const Matrix<S>& m) { return Matrix<double>(m.template cast<double>()); };
    L whole(context);
    const auto g = whole.adapter.backward(whole.W0, whole.G, whole.tape);
    const Matrix<S> dX = to_host(g.dX), dA = to_host(g.dA), dB = to_host(g.dB);

    L added(context);
    added.adapter.backward_into(added.dX.view(), added.dA.view(), added.dB.view(), added.W0,
                                added.G, added.tape, accumulate);
    const auto is_sum = [&](Uploaded<S>& sum, const Matrix<S>& gradient) {
      CHECK(sum.frame_is_intact());
      const Matrix<double> expected = plain(gradient).array() + 1.0;
      // The sum is rounded, and so may the gradient have been.
      const double bound = 4.0 * epsilon_of<S>() * (norm(gradient) + norm(expected));
      CHECK(distance(plain(sum.host()), expected) <= bound);
    };
    is_sum(added.dX, dX);
    is_sum(added.dA, dA);
    is_sum(added.dB, dB);

    // The same bits, whichever of the others are wanted.
    for (int wanted = 1; wanted < 8; ++wanted) {
      CAPTURE(wanted);
      const bool has_X = (wanted & 1) != 0, has_A = (wanted & 2) != 0, has_B = (wanted & 4) != 0;
      L some(context);
      MatrixView<S> none;
      const auto pick = [&](bool has, Uploaded<S>& m) {
        return has ? m.view() : DeviceView<S>(context, none);
      };
      if (has_X && has_A && has_B) {
        some.adapter.backward_into(some.dX.view(), some.dA.view(), some.dB.view(), some.W0, some.G,
                                   some.tape);
      } else if (has_X && !has_A && !has_B) {
        some.adapter.backward_into(some.dX.view(), nullptr, nullptr, some.W0, some.G, some.tape);
      } else if (!has_X && has_A && has_B) {
        some.adapter.backward_into(nullptr, some.dA.view(), some.dB.view(), some.W0, some.G,
                                   some.tape);
      } else {  // a view without data is not wanted either
        some.adapter.backward_into(pick(has_X, some.dX), pick(has_A, some.dA), pick(has_B, some.dB),
                                   some.W0, some.G, some.tape);
      }
      const auto is = [](Uploaded<S>& m, bool has, const Matrix<S>& gradient) {
        CHECK(m.frame_is_intact());
        CHECK(m.host() ==
              (has ? gradient : Matrix<S>::Constant(gradient.rows(), gradient.cols(), S(1))));
      };
      is(some.dX, has_X, dX);
      is(some.dA, has_A, dA);
      is(some.dB, has_B, dB);
    }
  };
  check(test_context(), Pre{});
  check(test_context(), Post{});
}

TEST_CASE_TEMPLATE("P alone on the device: gradients in place, added to and left out", S, double,
                   float) {
  const Index n = 10, r = 3, b = 4;
  using View = AdapterView<S, CyclicPermutation, Auto, Pre, CuBlas>;
  const Matrix<S> B = random_matrix<S>(n, r, 1), A = random_matrix<S>(r, n, 2);
  const Matrix<S> Y = random_matrix<S>(n, b, 3), G = random_matrix<S>(n, b, 4);
  const AdapterView<S, CyclicPermutation> host(B, A, S(0.5));
  const auto expected = host.vjp(Y, G);
  Uploaded<S> factor_B(B), factor_A(A), y(Y), g(G);
  const View view(factor_B.view(), factor_A.view(), S(0.5));
  const double unit = 64.0 * lorma_tests::eps<S> * norm(B) * norm(A) * norm(G) * (1.0 + norm(Y));
  CHECK(distance(to_host(view.apply(y.view())), host.apply(Y)) <= unit);
  CHECK(distance(to_host(view.apply_adjoint(g.view())), host.apply_adjoint(G)) <= unit);
  const auto all = view.vjp(y.view(), g.view());
  CHECK(distance(to_host(all.dY), expected.dY) <= unit);
  CHECK(distance(to_host(all.dA), expected.dA) <= unit);
  CHECK(distance(to_host(all.dB), expected.dB) <= unit);
  DeviceWorkspace workspace(test_context());
  Uploaded<S> dY(Matrix<S>(Matrix<S>::Ones(n, b))), dB(Matrix<S>(Matrix<S>::Ones(n, r)));
  view.vjp_into(dY.view(), nullptr, dB.view(), y.view(), g.view(), workspace, accumulate);
  CHECK(distance(dY.host(), Matrix<S>(expected.dY.array() + S(1))) <= unit);
  CHECK(distance(dB.host(), Matrix<S>(expected.dB.array() + S(1))) <= unit);
  view.apply_into(y.view(), y.view(), workspace);
  CHECK(distance(y.host(), host.apply(Y)) <= unit);
}

TEST_CASE_TEMPLATE("add and add_identity in every type and order", S, float, double, Eigen::half,
                   Eigen::bfloat16) {
  using RowMajor = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Matrix<S> x = random_matrix<double>(5, 5, 1).template cast<S>();
  const Matrix<S> y = random_matrix<double>(5, 5, 2).template cast<S>();
  DeviceWorkspace workspace(test_context());
  const auto check = [&](auto from, auto to) {
    from = x;
    to = y;
    Uploaded<S> in(from), out(to);
    CuBlas::add(workspace, as_const(in.view().view()), out.view().view());
    CHECK(out.host() == x + y);
    CHECK(out.frame_is_intact());
    CuBlas::add_identity(workspace, 3, out.view().view());
    CHECK(out.host() == (x + y) + Matrix<S>(Matrix<S>::Identity(5, 5) * S(3)));
    CHECK(out.frame_is_intact());
  };
  check(Matrix<S>{}, Matrix<S>{});
  check(Matrix<S>{}, RowMajor{});
  check(RowMajor{}, Matrix<S>{});
  check(RowMajor{}, RowMajor{});
}
