// SPDX-License-Identifier: Apache-2.0
#include "merge.hpp"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <lorma/adapter/by_name.hpp>
#include <lorma/io/lorma_directory.hpp>
#include <nlohmann/json.hpp>
#include <optional>

#include "checkpoint.hpp"
#include "progress.hpp"

namespace lorma_tool {
namespace {

namespace fs = std::filesystem;
using lorma::Index;
using lorma::LoraLayer;
using lorma::LormaLayer;
using lorma::Matrix;
using lorma::RowMajorMatrix;
using lorma::SafetensorsFile;
using lorma::StoredTensor;
using lorma::WeightLayout;

std::atomic<bool> stop_requested = false;

void check_stop() {
  if (stop_requested) throw Interrupted("stopped; nothing was written");
}

/// What is to be done to one tensor: a multiplier or an additive change.
struct Change {
  std::string tensor;
  WeightLayout layout = WeightLayout::out_in;
  std::optional<LormaLayer> multiply;
  std::optional<LoraLayer> add;

  std::string text() const {
    if (add) return "LoRA, rank " + std::to_string(add->A.rows());
    return multiply->inflation + ", " + multiply->side + ", rank " +
           std::to_string(multiply->A.rows());
  }
};

std::vector<Change> read_changes(const fs::path& directory) {
  const fs::path config = directory / lorma::adapter_config_name;
  const auto json = lorma::detail::read_json_object(config);
  const std::string type = lorma::detail::JsonFields(config, json).text("peft_type");
  std::vector<Change> changes;
  if (type == "LORMA") {
    for (LormaLayer& layer : lorma::read_lorma_adapter(directory).layers) {
      changes.push_back({layer.weight, layer.layout, std::move(layer), std::nullopt});
    }
    return changes;
  }
  lorma::PeftLora lora = lorma::read_peft_lora(directory);
  const WeightLayout layout = lora.fan_in_fan_out ? WeightLayout::in_out : WeightLayout::out_in;
  for (LoraLayer& layer : lora.layers) {
    changes.push_back({layer.module + ".weight", layout, std::nullopt, std::move(layer)});
  }
  return changes;
}

/// A change and where its weight lies.
struct Target {
  const Change* change = nullptr;
  const SafetensorsFile* file = nullptr;
  const StoredTensor* tensor = nullptr;
};

/// Why the change does not fit the tensor; empty when it does.
std::string misfit(const Change& change, const StoredTensor& tensor) {
  const std::string name = lorma::detail::in_quotes(change.tensor) + ": ";
  if (!has_arithmetic(tensor.dtype)) {
    return name + "expected type F64, F32, F16 or BF16, got " +
           std::string(lorma::dtype_name(tensor.dtype));
  }
  if (tensor.shape.size() != 2) {
    return name + "expected a 2-D tensor, got shape " + lorma::detail::shape_text(tensor.shape);
  }
  const bool turned = change.layout == WeightLayout::in_out;
  const auto d = static_cast<Index>(tensor.shape[turned ? 1 : 0]);
  const auto k = static_cast<Index>(tensor.shape[turned ? 0 : 1]);
  const auto wrong = [&](const std::string& wanted) {
    return name + "expected a weight with " + wanted + ", got shape " +
           lorma::detail::shape_text(tensor.shape);
  };
  if (change.add) {
    if (change.add->B.rows() == d && change.add->A.cols() == k) return "";
    return wrong(std::to_string(change.add->B.rows()) + " outputs and " +
                 std::to_string(change.add->A.cols()) + " inputs");
  }
  const bool pre = change.multiply->side == "Pre";
  if ((pre ? d : k) == change.multiply->B.rows()) return "";
  return wrong(std::to_string(change.multiply->B.rows()) + (pre ? " outputs" : " inputs"));
}

std::vector<Target> find_targets(const Checkpoint& base, const std::vector<Change>& changes) {
  std::vector<Target> targets;
  std::vector<std::string> problems;
  for (const Change& change : changes) {
    const Checkpoint::Found found = base.find(change.tensor);
    if (found.file == nullptr) {
      problems.push_back("the base has no tensor " + lorma::detail::in_quotes(change.tensor));
      continue;
    }
    if (std::string why = misfit(change, *found.tensor); !why.empty()) {
      problems.push_back(std::move(why));
      continue;
    }
    targets.push_back({&change, found.file, found.tensor});
  }
  std::string text;
  for (std::size_t i = 0; i < problems.size() && i < 20; ++i) {
    text += (i == 0 ? "" : "; ") + problems[i];
  }
  if (problems.size() > 20) text += "; and " + std::to_string(problems.size() - 20) + " more";
  if (!problems.empty()) throw lorma::FormatError("the adapter does not fit the base: " + text);
  return targets;
}

template <typename S>
void multiply(const LormaLayer& layer, RowMajorMatrix<S>& W, bool turned, bool undo) {
  lorma::visit_adapter<S>({.inflation = layer.inflation, .side = layer.side}, [&](auto type) {
    using Adapter = typename decltype(type)::type;
    Adapter adapter(layer.B.rows(), layer.B.cols(), static_cast<S>(layer.alpha));
    adapter.set_factors(layer.B.template cast<S>(), layer.A.template cast<S>());
    const auto run = [&](auto&& matrix) {
      if (undo) {
        adapter.unmerge_in_place(matrix);
      } else {
        adapter.merge_in_place(matrix);
      }
    };
    if (turned) {
      run(W.transpose());
    } else {
      run(W);
    }
  });
}

template <typename S>
void add(const LoraLayer& layer, RowMajorMatrix<S>& W, bool turned, bool undo) {
  const S scale = static_cast<S>(undo ? -layer.scale : layer.scale);
  const Matrix<S> B = scale * layer.B.template cast<S>();
  const Matrix<S> A = layer.A.template cast<S>();
  if (turned) {
    W.noalias() += A.transpose() * B.transpose();
  } else {
    W.noalias() += B * A;
  }
}

/// The old weight in S, as stored.
template <typename S>
RowMajorMatrix<S> load(const Target& target) {
  const auto from = [&](auto zero) -> RowMajorMatrix<S> {
    using T = decltype(zero);
    using Wide = std::conditional_t<lorma::StorageOnlyScalar<T>, float, T>;
    const auto stored = target.file->matrix_view<T>(target.change->tensor);
    return stored.map().template cast<Wide>().template cast<S>();
  };
  switch (target.tensor->dtype) {
    case lorma::Dtype::F64:
      return from(double{});
    case lorma::Dtype::F16:
      return from(Eigen::half{});
    case lorma::Dtype::BF16:
      return from(Eigen::bfloat16{});
    default:
      return from(float{});
  }
}

/// The new weight in S, as stored. Throws NonFinite where it is not finite.
template <typename S>
RowMajorMatrix<S> changed(const Target& target, const MergeOptions& options) {
  const Change& change = *target.change;
  if (change.multiply && !options.unmerge && !options.any_base &&
      !change.multiply->fingerprint.empty()) {
    const std::string here = lorma::fingerprint(*target.tensor);
    if (here != change.multiply->fingerprint) {
      throw lorma::FormatError(
          lorma::detail::in_quotes(change.tensor) + ": the adapter was made for a weight " +
          lorma::detail::in_quotes(change.multiply->fingerprint) + ", this one is " +
          lorma::detail::in_quotes(here) + " (--any-base merges all the same)");
    }
  }
  RowMajorMatrix<S> W = load<S>(target);
  target.file->forget(target.tensor->bytes);
  const bool turned = change.layout == WeightLayout::in_out;
  if (change.multiply) {
    multiply<S>(*change.multiply, W, turned, options.unmerge);
  } else {
    add<S>(*change.add, W, turned, options.unmerge);
  }
  return W;
}

/// Hands the rows of W, rounded to T, to the sink.
template <typename T, typename S, typename Sink>
void emit(const std::string& name, const RowMajorMatrix<S>& W, const Sink& sink) {
  constexpr Index block = 64;
  using Narrow = std::conditional_t<lorma::StorageOnlyScalar<T>, float, T>;
  for (Index i = 0; i < W.rows(); i += block) {
    check_stop();
    const Index count = std::min(block, W.rows() - i);
    // From double to 16 bits by way of float would round twice where it matters; Eigen's
    // conversions from float are the only ones there are, so round to odd on the way.
    lorma::RowMajorMatrix<T> rows(count, W.cols());
    if constexpr (std::same_as<S, double> && lorma::StorageOnlyScalar<T>) {
      for (Index a = 0; a < count; ++a) {
        for (Index b = 0; b < W.cols(); ++b) {
          const double exact = W(i + a, b);
          auto narrow = static_cast<float>(exact);
          if (static_cast<double>(narrow) != exact && std::isfinite(narrow)) {
            auto bits = std::bit_cast<std::uint32_t>(narrow);
            if (std::abs(static_cast<double>(narrow)) > std::abs(exact)) --bits;
            narrow = std::bit_cast<float>(bits | 1U);
          }
          rows(a, b) = static_cast<T>(narrow);
        }
      }
    } else {
      rows = W.middleRows(i, count).template cast<Narrow>().template cast<T>();
    }
    // x * 0 is 0 for finite x and NaN otherwise: no branch in the loop.
    if (!((rows.template cast<Narrow>().array() * Narrow(0)).sum() == Narrow(0))) {
      throw lorma::NonFinite(lorma::detail::in_quotes(name) +
                             ": expected a finite weight, got NaN or infinity in rows " +
                             std::to_string(i) + " to " + std::to_string(i + count - 1));
    }
    sink(std::as_bytes(std::span(rows.data(), static_cast<std::size_t>(rows.size()))));
  }
}

void produce(const Target& target, const MergeOptions& options, const lorma::ByteSink& sink) {
  const auto with = [&](auto compute) {
    using S = decltype(compute);
    const RowMajorMatrix<S> W = changed<S>(target, options);
    const std::string& name = target.change->tensor;
    switch (target.tensor->dtype) {
      case lorma::Dtype::F64:
        return emit<double>(name, W, sink);
      case lorma::Dtype::F16:
        return emit<Eigen::half>(name, W, sink);
      case lorma::Dtype::BF16:
        return emit<Eigen::bfloat16>(name, W, sink);
      default:
        return emit<float>(name, W, sink);
    }
  };
  if (options.in_double || target.tensor->dtype == lorma::Dtype::F64) {
    with(double{});
  } else {
    with(float{});
  }
}

/// A shard with the changed tensors made as they are written.
void write_shard(const SafetensorsFile& file, const fs::path& out,
                 const std::vector<Target>& targets, const MergeOptions& options,
                 Progress& progress) {
  std::vector<lorma::TensorSource> sources;
  for (const StoredTensor& tensor : file.tensors()) {
    const Target* target = nullptr;
    for (const Target& t : targets) {
      if (t.tensor == &tensor) target = &t;
    }
    sources.push_back({tensor.name, tensor.dtype, tensor.shape,
                       [&, target, stored = &tensor](const lorma::ByteSink& sink) {
                         check_stop();
                         if (target != nullptr) {
                           produce(*target, options, sink);
                         } else {
                           constexpr std::size_t piece = std::size_t(4) << 20;
                           for (std::size_t at = 0; at < stored->bytes.size(); at += piece) {
                             check_stop();
                             const auto part = stored->bytes.subspan(
                                 at, std::min(piece, stored->bytes.size() - at));
                             sink(part);
                             file.forget(part);
                           }
                         }
                         progress.done(static_cast<double>(stored->bytes.size()), stored->name);
                       }});
  }
  lorma::write_safetensors(out, sources, file.metadata());
}

/// A directory that takes its place when it is complete, or vanishes.
class AtomicDirectory {
 public:
  explicit AtomicDirectory(const fs::path& path) : path_(fs::absolute(path)) {
    if (path_.filename().empty()) path_ = path_.parent_path();
    if (fs::exists(path_)) {
      throw lorma::Error(lorma::detail::in_quotes(path_.string(), 1024) +
                         ": expected an output that does not exist");
    }
    temporary_ = path_.parent_path() / (".lorma-" + std::to_string(::getpid()) + ".tmp");
    if (!fs::create_directory(temporary_)) {
      throw lorma::Error(lorma::detail::in_quotes(temporary_.string(), 1024) +
                         ": exists, left by a process that was killed; remove it");
    }
  }
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;
  ~AtomicDirectory() {
    std::error_code ignored;
    if (!committed_) fs::remove_all(temporary_, ignored);
  }
  fs::path file(const fs::path& like) const { return temporary_ / like.filename(); }
  void commit() {
    fs::rename(temporary_, path_);
    committed_ = true;
  }

 private:
  fs::path path_;
  fs::path temporary_;
  bool committed_ = false;
};

}  // namespace

void request_stop() noexcept {
  stop_requested = true;
}

MergeReport merge(const MergeOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  stop_requested = false;
  const Checkpoint base(options.base);
  const std::vector<Change> changes = read_changes(options.adapter);
  const std::vector<Target> targets = find_targets(base, changes);
  MergeReport report;
  for (const Target& target : targets) {
    report.tensors.push_back({target.change->tensor, target.file->name(),
                              std::string(lorma::dtype_name(target.tensor->dtype)),
                              static_cast<std::int64_t>(target.tensor->shape[0]),
                              static_cast<std::int64_t>(target.tensor->shape[1]),
                              target.change->text()});
  }
  double total = 0.0;
  for (const auto& file : base.files()) {
    report.copied += file->tensors().size();
    for (const StoredTensor& tensor : file->tensors()) {
      total += static_cast<double>(tensor.bytes.size());
    }
  }
  report.copied -= targets.size();
  report.bytes = static_cast<std::uint64_t>(total);
  if (options.dry_run) return report;
  if (options.check_first) {
    Progress progress(options.progress, static_cast<double>(targets.size()));
    for (const Target& target : targets) {
      produce(target, options, [](std::span<const std::byte>) {});
      progress.done(1.0, "checking " + target.change->tensor);
    }
  }
  Progress progress(options.progress, std::max(total, 1.0));
  if (base.is_single_file()) {
    write_shard(*base.files().front(), options.out, targets, options, progress);
  } else {
    AtomicDirectory directory(options.out);
    for (std::size_t i = 0; i < base.files().size(); ++i) {
      write_shard(*base.files()[i], directory.file(base.paths()[i]), targets, options, progress);
    }
    for (const fs::path& path : base.companions()) fs::copy_file(path, directory.file(path));
    directory.commit();
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

std::string to_json(const MergeReport& report) {
  nlohmann::ordered_json json;
  json["tensors"] = nlohmann::ordered_json::array();
  for (const MergedTensor& t : report.tensors) {
    json["tensors"].push_back({{"name", t.name},
                               {"file", t.file},
                               {"dtype", t.dtype},
                               {"shape", {t.rows, t.cols}},
                               {"adapter", t.adapter}});
  }
  json["copied"] = report.copied;
  json["bytes"] = report.bytes;
  json["seconds"] = report.seconds;
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace lorma_tool
