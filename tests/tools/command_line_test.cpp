// SPDX-License-Identifier: Apache-2.0
// The tool as a program: exit codes, options, what a stopped run leaves behind.

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "support.hpp"

using namespace lorma_tests;

namespace {

/// base.safetensors of one weight, and the directory `adapter` for it.
void write_base_and_adapter(const fs::path& p) {
  lorma::write_safetensors(p / "base.safetensors",
                           {TensorSource::copy("w", weight<float>(4, 4, 1))});
  LormaAdapter adapter;
  adapter.layers = {layer("w", 4, 1, "Identity", "Pre")};
  write_lorma_adapter(p / "adapter", adapter);
}

}  // namespace

TEST_CASE("the command line: exit codes, dry run, JSON") {
  const ScratchDirectory directory;
  write_base_and_adapter(directory.path());
  const std::string p = directory.path().string();
  const auto shell = [&](const std::string& arguments) {
    return lorma_tests::shell(directory.path(), arguments);
  };
  const std::string both = p + "/base.safetensors " + p + "/adapter -o " + p + "/out.safetensors";
  CHECK(shell("merge " + both + " --dry-run --json") == 0);
  CHECK(nlohmann::json::parse(content(directory.path() / "stdout"))["tensors"].size() == 1);
  CHECK_FALSE(fs::exists(directory.path() / "out.safetensors"));
  CHECK(shell("merge " + both) == 0);
  CHECK(fs::exists(directory.path() / "out.safetensors"));
  CHECK(shell("merge " + p + "/absent.safetensors " + p + "/adapter -o " + p + "/x") == 3);
  CHECK(shell("merge") == 3);
  CHECK(shell("convert " + p + "/adapter --to nonsense --base x -o y") == 3);
  CHECK(shell("unmerge --help") == 0);
  CHECK(shell("merge " + p + "/base.safetensors " + p + "/adapter -o /dev/full") == 3);
  const std::string adapter_path = p + "/adapter";
  const std::string base = p + "/base.safetensors";
  for (const std::string& line :
       {"convert " + adapter_path + " --to lora --base " + base,
        "compose " + adapter_path + ' ' + adapter_path, "resize " + adapter_path + " -r 1",
        "extract " + base + ' ' + p + "/out.safetensors"}) {
    CAPTURE(line);
    CHECK(shell(line + " -o " + p + "/made --dry-run --json") ==
          (line[1] == 'o' && line[3] == 'v' ? 3 : 0));
    CHECK_FALSE(fs::exists(directory.path() / "made"));
  }
}

TEST_CASE("the output stands though its report cannot be printed; a report alone needs a place") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  write_base_and_adapter(p);
  const std::string q = p.string();
  const auto code = [&](const std::string& arguments, const std::string& after) {
    const int status =
        std::system((LORMA_TOOL + (" " + arguments) + " 2> " + q + "/stderr " + after).c_str());
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
  };
  int number = 0;
  for (const char* after : {"> /dev/full", ">&-"}) {
    CAPTURE(after);
    const std::string out = q + "/out" + std::to_string(number++) + ".safetensors";
    CHECK(code("merge " + q + "/base.safetensors " + q + "/adapter -o " + out, after) == 0);
    CHECK(lorma::SafetensorsFile(out).contains("w"));
    CHECK(code("inspect " + q + "/base.safetensors", after) == 3);
  }
}

TEST_CASE("words for what is not known: a verb, a layout, a strength, a rename, a place") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  write_base_and_adapter(p);
  const std::string q = p.string();
  const auto refused = [&](const std::string& arguments, const char* words) {
    CAPTURE(arguments);
    CHECK(shell(p, arguments) == 3);
    CHECK_MESSAGE(content(p / "stderr").find(words) != std::string::npos, content(p / "stderr"));
  };
  refused("mrege base adapter -o out", "did you mean merge?");
  refused("inpsect x", "did you mean inspect?");
  const std::string merge = "merge " + q + "/base.safetensors " + q + "/adapter -o " + q;
  refused(merge + "/o --layout sideways", "out_in");
  refused(merge + "/o --strength 1,2", "one for each adapter");
  refused(merge + "/o --rename q", "expected FROM=TO");
  refused(merge + "/absent/o", "absent");
  const std::string base = q + "/base.safetensors";
  refused("extract " + base + ' ' + base + " --to lora --fused attn -o " + q + "/o",
          "--fused: expected --to lorma");
  fs::create_directory(p / "unet");
  put(p / "unet" / "diffusion_pytorch_model.safetensors", "x");
  refused("merge " + q + "/unet " + q + "/adapter -o " + q + "/o",
          "got 'diffusion_pytorch_model.safetensors'");
  CHECK(shell(p, "merge " + q + "/base.safetensors " + q + "/adapter " + q + "/adapter -o " + q +
                     "/two.safetensors --strength 1,0.5 --rename a.=b. --rename c.=d.") == 0);
  // What a killed run left behind is named.
  put(p / ".lorma-999999999-0.tmp", "");
  CHECK(shell(p, merge + "/three.safetensors") == 0);
  CHECK(content(p / "stderr").find(".lorma-999999999-0.tmp") != std::string::npos);
}

TEST_CASE("a full disk and Ctrl-C leave the output absent and nothing behind") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const std::string q = p.string();
  const Index n = 1024;
  std::vector<TensorSource> tensors;
  LormaAdapter adapter;
  const Matrix<float> W = weight<float>(n, n, 1);
  for (int i = 0; i < 24; ++i) {
    tensors.push_back(TensorSource::copy("w" + std::to_string(i), W));
    if (i % 4 == 0)
      adapter.layers.push_back(layer("w" + std::to_string(i), n, 2, "Identity", "Pre"));
  }
  fs::create_directory(p / "model");
  lorma::write_safetensors(p / "model" / "model.safetensors", tensors);
  write_lorma_adapter(p / "adapter", adapter);
  const auto is_clean = [&] {
    for (const auto& entry : fs::directory_iterator(p)) {
      if (entry.path().filename().string().starts_with(".lorma")) return false;
    }
    return !fs::exists(p / "out");
  };
  const std::string arguments = "merge " + q + "/model " + q + "/adapter --quiet -o " + q + "/out";
  // 40 MB of the 96 fit.
  CHECK(shell(p, arguments, "ulimit -f 80000;") == 3);
  CHECK(content(p / "stderr").find("cannot write") != std::string::npos);
  CHECK(is_clean());
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const pid_t child = fork();
    if (child == 0) {
      const std::string model = q + "/model", lora = q + "/adapter", out = q + "/out";
      ::execl(LORMA_TOOL, LORMA_TOOL, "merge", model.c_str(), lora.c_str(), "--quiet", "-o",
              out.c_str(), nullptr);
      ::_exit(127);
    }
    // Once something is on the disk, or when it is over already.
    int status = 0;
    bool over = false;
    while (!over && is_clean()) {
      over = ::waitpid(child, &status, WNOHANG) == child;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (!over) {
      ::kill(child, signal);
      REQUIRE(::waitpid(child, &status, 0) == child);
    }
    REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 130) {
      CHECK(is_clean());
    } else {  // it was quicker
      CHECK(WEXITSTATUS(status) == 0);
      CHECK(fs::exists(p / "out"));
      fs::remove_all(p / "out");
    }
  }
}
