#!/usr/bin/python3
"""Checksums of what leaves by these devices are written by the stack, not left to a card there is not: so they are on
the wire, as they are on a real one.

usage: checksums.py DEVICE...      (in the namespace of the devices)
"""
import array
import fcntl
import socket
import struct
import sys

SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for device in sys.argv[1:]:
        value = array.array("B", struct.pack("II", ETHTOOL_STXCSUM, 0))
        fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sP", device.encode(), value.buffer_info()[0]))
