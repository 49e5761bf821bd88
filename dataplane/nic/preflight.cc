#include "dataplane/nic/preflight.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace penstock::dataplane::nic {
namespace {

// Whether packets may be had from the kernel past its own stack.
std::string packet_socket_fault() {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    ::close(fd);
    return {};
  }
  if (errno == EPERM || errno == EACCES) return "no permission for packet sockets: run as root, or grant CAP_NET_RAW";
  return std::string("no packet sockets: ") + std::strerror(errno);
}

// Bit 12 of the effective capabilities, CAP_NET_ADMIN.
bool may_make_interfaces() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CapEff:")) return (std::strtoull(line.c_str() + 7, nullptr, 16) >> 12 & 1) != 0;
  }
  return true;  // not known: DPDK tries
}

std::string tap_fault() {
  if (!may_make_interfaces()) return "no permission to make a network interface: run as root, or grant CAP_NET_ADMIN";
  const int fd = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    ::close(fd);
    return {};
  }
  if (errno == EPERM || errno == EACCES) return "no permission for /dev/net/tun: run as root";
  return std::string("/dev/net/tun cannot be opened (") + std::strerror(errno) + "): load the kernel's module tun";
}

// The client's side connects when it starts, and does not try again. An abstract socket (the default) cannot be seen.
std::string memif_fault(const Device& device) {
  const bool client = argument(device, "role").value_or("client") != "server";
  const auto socket = argument(device, "socket");
  const bool visible = socket && argument(device, "socket-abstract").value_or("yes") == "no";
  if (!client || !visible || access(std::string(*socket).c_str(), F_OK) == 0) return {};
  return "there is no socket " + std::string(*socket) + "; start the other side, role=server, first";
}

// The last part of what a link names; empty if it is none.
std::string target_of(const std::string& path) {
  char to[256] = {};
  const ssize_t n = readlink(path.c_str(), to, sizeof to - 1);
  const std::string text = n > 0 ? to : "";
  return text.substr(text.rfind('/') + 1);
}

// vfio gives out groups of devices, each by a file of its own.
std::string vfio_fault(const std::string& folder) {
  const std::string group = "/dev/vfio/" + target_of(folder + "/iommu_group");
  if (access(group.c_str(), R_OK | W_OK) == 0 || errno == ENOENT) return {};  // DPDK says what is missing
  return "no permission for " + group + ": run as root, or give it to this user";
}

std::string pci_fault(const std::string& address) {
  const std::string folder = "/sys/bus/pci/devices/" + address;
  if (access(folder.c_str(), F_OK) != 0) return "there is no such PCI device; lspci -D lists them";
  const std::string name = target_of(folder + "/driver");
  if (name == "vfio-pci") return vfio_fault(folder);
  const bool ours = name == "uio_pci_generic" || name == "igb_uio" || name == "mlx5_core" || name == "mlx4_core";
  if (ours) return {};
  return "it is " + (name.empty() ? "bound to no driver" : "the kernel's (driver " + name + ")") +
         "; bind it to vfio-pci, see docs/deploy/bare_metal.md";
}

}  // namespace

std::string find_fault(const Device& device) {
  if (!device.is_virtual) return pci_fault(device.name);
  const bool packets = device.driver() == "net_af_packet" || device.driver() == "net_af_xdp";
  if (packets) {
    const auto interface = argument(device, "iface");
    if (!interface) return "iface=NAME is missing: which network interface?";
    if (if_nametoindex(std::string(*interface).c_str()) == 0) {
      return "there is no network interface " + std::string(*interface) + " here; ip -br link lists them";
    }
    return packet_socket_fault();
  }
  if (device.driver() == "net_memif") return memif_fault(device);
  return device.driver() == "net_tap" ? tap_fault() : std::string();
}

}  // namespace penstock::dataplane::nic
