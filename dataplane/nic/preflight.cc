#include "dataplane/nic/preflight.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
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

std::string tap_fault() {
  const int fd = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    ::close(fd);
    return {};
  }
  if (errno == EPERM || errno == EACCES) return "no permission for /dev/net/tun: run as root";
  return std::string("/dev/net/tun cannot be opened (") + std::strerror(errno) + "): load the kernel's module tun";
}

std::string pci_fault(const std::string& address) {
  const std::string folder = "/sys/bus/pci/devices/" + address;
  if (access(folder.c_str(), F_OK) != 0) return "there is no such PCI device; lspci -D lists them";
  char driver[256] = {};
  const ssize_t n = readlink((folder + "/driver").c_str(), driver, sizeof driver - 1);
  const std::string name = n > 0 ? std::string(driver).substr(std::string(driver).rfind('/') + 1) : "";
  const bool ours = name == "vfio-pci" || name == "uio_pci_generic" || name == "igb_uio" || name == "mlx5_core" ||
                    name == "mlx4_core";
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
  return device.driver() == "net_tap" ? tap_fault() : std::string();
}

}  // namespace penstock::dataplane::nic
