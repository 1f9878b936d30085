"""Where nobody may be sent: addresses that are not public, and ways to write such an address down."""

NOT_PUBLIC = (
    "127.0.0.1", "127.255.0.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.2.3", "240.0.0.1",
    "255.255.255.255", "192.88.99.1",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "3fff::1", "100::1", "5f00::1",
)  # fmt: skip

SPELLINGS = (
    "http://pictures.example/", "http://2130706433/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/",
    "https://017700000001/", "https://0177.0.0.1/", "https://127.1/", "https://127.0.1/", "https://0/",
    "https://[::ffff:7f00:1]/", "https://[::ffff:127.0.0.1]/", "https://①②⑦.0.0.1/", "https://127。0。0。1/",
    "https://127.0.0.1./", "https://%31%32%37.0.0.1/", "https://localhost/", "https://LOCALHOST./",
    "https://x.localhost/", "https://metadata.google.internal/computeMetadata/v1/", "https://metadata/",
    "https://broker:6379/", "https://printer.local/", "https://router.home.arpa/", "https://169.254.169.254/latest/",
    "https://user@pictures.example/", "https://user:pass@pictures.example/", "https://pictures.example@127.0.0.1/",
    "https://pictures.example:8443/", "https://pictures.example:80/", "https:/\\127.0.0.1/", "https:127.0.0.1",
    "https://[fe80::1%25eth0]/", "file:///etc/passwd", "gopher://pictures.example/", "ftp://pictures.example/",
    "data:image/png;base64,AAAA", "//pictures.example/", "pictures.example", "", "https://", "https://./",
    "https://pictures.example/" + "a" * 2_000,
)  # fmt: skip
