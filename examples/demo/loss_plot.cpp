// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "report.hpp"
#include "text.hpp"

namespace demo {
namespace {

/// Colours are of the set of Okabe and Ito, darkened for text: the colour-blind tell them apart;
/// dashes tell the curves apart in grey.
class LossPlot {
 public:
  explicit LossPlot(const Results& results) : results_(results) {
    least_ = results.floor;
    for (const Method& m : results.methods) {
      for (const Run& run : m.fits.runs) {
        for (const double e : run.training) {
          if (!std::isfinite(e) || e <= 0) continue;
          least_ = std::min(least_, e);
          most_ = std::max(most_, e);
        }
      }
    }
    if (!(least_ > 0)) least_ = most_ / 1e6;
    least_ *= 0.93;
    most_ *= 1.05;
  }

  std::string svg() {
    out_ << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width << ' ' << height
         << "\" width=\"" << width << "\" height=\"" << height
         << "\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"14\" role=\"img\">\n"
         << "<title>Training error over steps of Adam, by method</title>\n"
         << "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
    text(left, 28, "start", "#222222", "all-MiniLM-L6-v2: " + results_.title, 17);
    text(left, 50, "start", "#555555",
         "rank " + std::to_string(results_.rank) + ", " +
             std::to_string(results_.methods.front().parameters) +
             " parameters each; mean and range of " + std::to_string(starts) + " starts");
    axes();
    reference(1.0, "zero weight");
    reference(results_.floor, "least for a change of rank " + std::to_string(results_.rank));
    for (std::size_t i = 0; i < results_.methods.size(); ++i) curve(i);
    labels();
    legend();
    out_ << "</svg>\n";
    return out_.str();
  }

 private:
  static constexpr double width = 900, height = 580;
  static constexpr double left = 78, right = 740, top = 100, bottom = 516;
  struct Style {
    const char* colour;
    const char* dash;
  };
  static constexpr std::array<Style, 4> styles{
      {{"#333333", "none"}, {"#c05a00", "2 4"}, {"#0072b2", "10 4"}, {"#00795a", "10 3 2 3"}}};

  double x(double step) const { return left + (right - left) * step / double(results_.plan.steps); }
  double y(double error) const {
    const double e = std::clamp(error, least_, most_);
    return bottom - (bottom - top) * std::log(e / least_) / std::log(most_ / least_);
  }

  void text(double at_x, double at_y, const char* anchor, const char* colour,
            const std::string& words, int size = 14) {
    out_ << "<text x=\"" << fixed(at_x, 1) << "\" y=\"" << fixed(at_y, 1) << "\" text-anchor=\""
         << anchor << "\" fill=\"" << colour << "\" font-size=\"" << size << "\">" << words
         << "</text>\n";
  }
  void line(double x1, double y1, double x2, double y2, const std::string& colour,
            const std::string& dash = "none", double thickness = 1) {
    out_ << "<line x1=\"" << fixed(x1, 1) << "\" y1=\"" << fixed(y1, 1) << "\" x2=\""
         << fixed(x2, 1) << "\" y2=\"" << fixed(y2, 1) << "\" stroke=\"" << colour
         << "\" stroke-width=\"" << thickness << "\" stroke-dasharray=\"" << dash << "\"/>\n";
  }

  /// Values to mark: close together over less than a decade, 1-2-5 over more.
  std::vector<double> error_ticks() const {
    const std::vector<double> fine{1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9};
    const std::vector<double> coarse{1, 2, 5};
    const double decades = std::log10(most_ / least_);
    std::vector<double> ticks;
    for (int power = -12; power <= 6; ++power) {
      for (const double digit : decades < 1.2 ? fine : coarse) {
        const double tick = digit * std::pow(10.0, power);
        if (tick > least_ && tick < most_) ticks.push_back(tick);
      }
    }
    return ticks;
  }

  void axes() {
    for (const double tick : error_ticks()) {
      line(left, y(tick), right, y(tick), "#e6e6e6");
      text(left - 9, y(tick) + 5, "end", "#333333", number(tick));
    }
    const long steps = results_.plan.steps;
    long stride = 1;
    for (long next :
         {2L, 5L, 10L, 20L, 50L, 100L, 200L, 500L, 1000L, 2000L, 5000L, 10000L, 20000L}) {
      if (steps / stride > 7) stride = next;
    }
    for (long step = 0; step <= steps; step += stride) {
      line(x(double(step)), bottom, x(double(step)), bottom + 5, "#333333");
      text(x(double(step)), bottom + 22, "middle", "#333333", std::to_string(step));
    }
    line(left, bottom, right, bottom, "#333333");
    line(left, top, left, bottom, "#333333");
    text((left + right) / 2, bottom + 46, "middle", "#222222", "step");
    out_ << "<text transform=\"translate(22 " << (top + bottom) / 2
         << ") rotate(-90)\" text-anchor=\"middle\" fill=\"#222222\">training error, "
            "‖(W − W*)X‖² / ‖W*X‖² (log scale)</text>\n";
  }

  void reference(double error, const std::string& words) {
    if (error <= least_ || error >= most_) return;
    line(left, y(error), right, y(error), "#8a8a8a", "1 3", 1.3);
    text(right - 6, y(error) - 6, "end", "#666666", words, 12);
  }

  Spread at(const Method& m, std::size_t i) const {
    return spread(m, [i](const Run& run) { return run.training[i]; });
  }

  void curve(std::size_t index) {
    const Method& m = results_.methods[index];
    const Style& style = styles[index % styles.size()];
    const std::vector<long>& steps = m.fits.runs.front().steps;
    out_ << "<path fill=\"" << style.colour << "\" fill-opacity=\"0.15\" d=\"";
    for (std::size_t i = 0; i < steps.size(); ++i) {
      point(i == 0 ? 'M' : 'L', double(steps[i]), at(m, i).most);
    }
    for (std::size_t i = steps.size(); i-- > 0;) point('L', double(steps[i]), at(m, i).least);
    out_ << "Z\"/>\n<path fill=\"none\" stroke=\"" << style.colour
         << "\" stroke-width=\"2.4\" stroke-linejoin=\"round\" stroke-dasharray=\"" << style.dash
         << "\" d=\"";
    for (std::size_t i = 0; i < steps.size(); ++i) {
      point(i == 0 ? 'M' : 'L', double(steps[i]), at(m, i).mean);
    }
    out_ << "\"/>\n";
  }
  void point(char command, double step, double error) {
    out_ << command << fixed(x(step), 1) << ' ' << fixed(y(error), 1);
  }

  /// Names at the curves' ends, moved apart where they would cover each other.
  void labels() {
    struct Label {
      double at;
      std::size_t index;
    };
    std::vector<Label> places;
    for (std::size_t i = 0; i < results_.methods.size(); ++i) {
      places.push_back({y(end_error(results_.methods[i]).mean), i});
    }
    std::sort(places.begin(), places.end(),
              [](const Label& a, const Label& b) { return a.at < b.at; });
    constexpr double gap = 18;
    for (std::size_t i = 1; i < places.size(); ++i) {
      places[i].at = std::max(places[i].at, places[i - 1].at + gap);
    }
    const double over = places.back().at - (bottom - 4);
    for (std::size_t i = places.size(); over > 0 && i-- > 0;) {
      const double most = i + 1 < places.size() ? places[i + 1].at - gap : bottom - 4;
      places[i].at = std::min(places[i].at, most);
    }
    for (const Label& place : places) {
      const Method& m = results_.methods[place.index];
      const char* colour = styles[place.index % styles.size()].colour;
      line(right + 2, y(end_error(m).mean), right + 13, place.at, colour);
      text(right + 17, place.at + 5, "start", colour,
           m.name + "  " + significant(end_error(m).mean));
    }
  }

  /// In a row above the plot, where no curve can be.
  void legend() {
    double at_x = left;
    for (std::size_t i = 0; i < results_.methods.size(); ++i, at_x += 178) {
      const Style& style = styles[i % styles.size()];
      line(at_x, top - 25, at_x + 34, top - 25, style.colour, style.dash, 2.4);
      text(at_x + 42, top - 20, "start", "#222222",
           results_.methods[i].name + ", rate " + number(results_.methods[i].fits.runs[0].rate),
           13);
    }
  }

  const Results& results_;
  std::ostringstream out_;
  double least_ = 1;
  double most_ = 1;
};

}  // namespace

std::string loss_plot(const Results& results) {
  return LossPlot(results).svg();
}

}  // namespace demo
