// Record named tensors of a run into a .safetensors file, which `align compare MODEL run.safetensors --dump-of MODEL`
// takes as a side. C++11, no dependency. License: Apache-2.0.
//
//     aligner::Recorder recorder;
//     recorder.add("/conv1/Conv_output_0", tensor.data_ptr<float>(), {1, 64, 112, 112});
//     recorder.write("run.safetensors");
//
// Data is copied when it is added: runtimes reuse their buffers. Numbers are written as they lie in memory, which has
// to be little-endian.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace aligner {

template <typename T> struct TypeWord;
template <> struct TypeWord<float> { static const char* word() { return "F32"; } };
template <> struct TypeWord<double> { static const char* word() { return "F64"; } };
template <> struct TypeWord<int64_t> { static const char* word() { return "I64"; } };
template <> struct TypeWord<int32_t> { static const char* word() { return "I32"; } };
template <> struct TypeWord<int16_t> { static const char* word() { return "I16"; } };
template <> struct TypeWord<int8_t> { static const char* word() { return "I8"; } };
template <> struct TypeWord<uint8_t> { static const char* word() { return "U8"; } };
template <> struct TypeWord<bool> { static const char* word() { return "BOOL"; } };

class Recorder {
 public:
  // Copies the tensor; contiguous, row-major. Raises std::invalid_argument for a name that was recorded already.
  template <typename T>
  void add(const std::string& name, const T* data, const std::vector<int64_t>& shape) {
    add(name, static_cast<const void*>(data), TypeWord<T>::word(), sizeof(T), shape);
  }

  // The same for types that C++ has no word for: "F16" and "BF16", two bytes each.
  void add(const std::string& name, const void* data, const char* word, size_t width,
           const std::vector<int64_t>& shape) {
    if (index_.count(name)) throw std::invalid_argument("recorded twice: " + name);
    size_t bytes = width;
    for (int64_t size : shape) bytes *= static_cast<size_t>(size);
    index_[name] = entries_.size();
    entries_.push_back(Entry{name, word, shape, data_.size(), bytes});
    const char* begin = static_cast<const char*>(data);
    data_.insert(data_.end(), begin, begin + bytes);
  }

  size_t size() const { return entries_.size(); }

  // Raises std::runtime_error where the file cannot be written.
  void write(const std::string& path) const {
    std::string header = "{";
    for (size_t i = 0; i < entries_.size(); ++i) {
      const Entry& entry = entries_[i];
      if (i) header += ",";
      header += quoted(entry.name) + ":{\"dtype\":\"" + entry.word + "\",\"shape\":[";
      for (size_t axis = 0; axis < entry.shape.size(); ++axis) {
        if (axis) header += ",";
        header += std::to_string(entry.shape[axis]);
      }
      header += "],\"data_offsets\":[" + std::to_string(entry.begin) + "," +
                std::to_string(entry.begin + entry.bytes) + "]}";
    }
    header += "}";
    while (header.size() % 8) header += " ";
    std::ofstream file(path, std::ios::binary);
    unsigned char length[8];
    for (int i = 0; i < 8; ++i) length[i] = static_cast<unsigned char>((static_cast<uint64_t>(header.size()) >> (8 * i)) & 255);
    file.write(reinterpret_cast<const char*>(length), 8);
    file.write(header.data(), static_cast<std::streamsize>(header.size()));
    file.write(data_.data(), static_cast<std::streamsize>(data_.size()));
    file.close();
    if (!file) throw std::runtime_error("cannot write " + path);
  }

 private:
  struct Entry {
    std::string name, word;
    std::vector<int64_t> shape;
    size_t begin, bytes;
  };

  static std::string quoted(const std::string& text) {
    static const char* digits = "0123456789abcdef";
    std::string out = "\"";
    for (unsigned char c : text) {
      if (c == '"' || c == '\\') {
        out += '\\';
        out += static_cast<char>(c);
      } else if (c < 32) {
        out += std::string("\\u00") + digits[c >> 4] + digits[c & 15];
      } else {
        out += static_cast<char>(c);
      }
    }
    return out + "\"";
  }

  std::vector<Entry> entries_;
  std::map<std::string, size_t> index_;
  std::vector<char> data_;
};

}  // namespace aligner
