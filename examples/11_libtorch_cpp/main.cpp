// A restorer in C++: LibTorch, its own preprocessing, and aligner's header to record what it computed.
#include <torch/script.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "aligner_record.hpp"

int main(int argc, const char* argv[]) {
  if (argc < 5) {
    std::cerr << "usage: restore MODEL PIXELS SIZE RECORDING [--opencv]\n";
    return 2;
  }
  const int64_t size = std::stoll(argv[3]);
  std::ifstream file(argv[2], std::ios::binary);
  std::vector<uint8_t> pixels((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  torch::Tensor image = torch::from_blob(pixels.data(), {1, size, size, 3}, torch::kUInt8).to(torch::kFloat32);
  if (argc > 5) image = image.flip(3);  // for BGR from OpenCV; the mistake: these pixels never came from OpenCV
  image = image.permute({0, 3, 1, 2}).div(255).sub(0.5).div(0.5).contiguous();

  torch::NoGradGuard no_grad;
  torch::jit::Module model = torch::jit::load(argv[1]);
  model.eval();
  auto both = model.forward({image}).toTuple();  // an instrumented model: what it gave before, and {name: tensor}
  aligner::Recorder recorder;
  for (const auto& entry : both->elements()[1].toGenericDict()) {
    torch::Tensor tensor = entry.value().toTensor().contiguous().to(torch::kFloat32);
    recorder.add(entry.key().toStringRef(), tensor.data_ptr<float>(), tensor.sizes().vec());
  }
  recorder.write(argv[4]);
  std::cout << "recorded " << recorder.size() << " tensors\n";
}
