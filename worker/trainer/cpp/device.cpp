// How much memory of an accelerator this process takes, as libtorch's allocator counts it.

#include <c10/core/CachingDeviceAllocator.h>

#include <cstdint>

namespace {

c10::DeviceAllocator* allocator() { return c10::getDeviceAllocator(c10::DeviceType::CUDA); }

}  // namespace

// Resets the peak. Returns false if libtorch cannot measure it.
extern "C" bool swath_reset_device_peak(int8_t index) {
  try {
    allocator()->emptyCache();
    allocator()->resetPeakStats(index);
    return true;
  } catch (...) {
    return false;
  }
}

// The most bytes that were reserved at once since then; negative if libtorch cannot measure it.
extern "C" int64_t swath_device_peak(int8_t index) {
  try {
    constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    return allocator()->getDeviceStats(index).reserved_bytes[all].peak;
  } catch (...) {
    return -1;
  }
}
