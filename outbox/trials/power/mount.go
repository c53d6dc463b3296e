//go:build linux

package power

import (
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Mount shows a Disk as the directory dir, until the function that it returns is called. It
// needs root and /dev/fuse.
func Mount(dir string, d *Disk) (unmount func() error, err error) {
	server, err := fuse.NewServer(&mounted{RawFileSystem: fuse.NewDefaultRawFileSystem(), disk: d, lists: map[uint64][]fuse.DirEntry{}}, dir, &fuse.MountOptions{
		DirectMountStrict:  true, // no program fusermount is needed
		FsName:             "power",
		Name:               "power",
		DisableXAttrs:      true,
		DisableReadDirPlus: true,
	})
	if err != nil {
		return nil, err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return nil, err
	}
	return func() error {
		err := syscall.Unmount(dir, syscall.MNT_DETACH)
		server.Wait()
		return err
	}, nil
}

// mounted answers the kernel. It caches nothing, and the kernel neither.
type mounted struct {
	fuse.RawFileSystem
	disk  *Disk
	lists map[uint64][]fuse.DirEntry // of the directories that are open
	next  uint64
}

func (m *mounted) String() string { return "power" }

// call runs f with the node of a request.
func (m *mounted) call(h *fuse.InHeader, changes bool, f func(*node) fuse.Status) fuse.Status {
	if !m.disk.enter(changes) {
		return fuse.EIO
	}
	defer m.disk.mu.Unlock()
	n := m.disk.nodes[h.NodeId]
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return f(n)
}

func (n *node) attr(out *fuse.Attr) {
	out.Ino, out.Nlink, out.Mode, out.Size = n.ino, 1, syscall.S_IFREG|0o600, uint64(len(n.data))
	if n.names != nil {
		out.Mode = syscall.S_IFDIR | 0o700
	}
	out.Blocks, out.Blksize = (out.Size+511)/512, page
	out.SetTimes(&n.changed, &n.changed, &n.changed)
}

func (n *node) entry(out *fuse.EntryOut) fuse.Status {
	out.NodeId, out.Generation = n.ino, 1
	n.attr(&out.Attr)
	return fuse.OK
}

func (m *mounted) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return m.call(h, false, func(dir *node) fuse.Status {
		if n := dir.names[name]; n != nil {
			return n.entry(out)
		}
		return fuse.ENOENT
	})
}

func (m *mounted) Forget(uint64, uint64) {}

func (m *mounted) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (m *mounted) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return m.call(&in.InHeader, false, func(n *node) fuse.Status { n.attr(&out.Attr); return fuse.OK })
}

func (m *mounted) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	size, cut := in.GetSize()
	return m.call(&in.InHeader, cut, func(n *node) fuse.Status {
		if cut && size < uint64(len(n.data)) {
			m.disk.write(n, write{at: int64(size), cut: true})
		} else if cut {
			m.disk.write(n, write{at: int64(len(n.data)), data: make([]byte, size-uint64(len(n.data)))})
		}
		n.attr(&out.Attr)
		return fuse.OK
	})
}

func (m *mounted) make(h *fuse.InHeader, name string, isDir bool, out *fuse.EntryOut) fuse.Status {
	return m.call(h, true, func(dir *node) fuse.Status {
		if dir.names[name] != nil {
			return fuse.Status(syscall.EEXIST)
		}
		n := m.disk.newNode(isDir)
		m.disk.rename(change{{dir: dir, name: name, to: n}})
		return n.entry(out)
	})
}

func (m *mounted) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return m.make(&in.InHeader, name, true, out)
}

func (m *mounted) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return m.make(&in.InHeader, name, false, &out.EntryOut)
}

func (m *mounted) remove(h *fuse.InHeader, name string) fuse.Status {
	return m.call(h, true, func(dir *node) fuse.Status {
		switch n := dir.names[name]; {
		case n == nil:
			return fuse.ENOENT
		case len(n.names) > 0:
			return fuse.Status(syscall.ENOTEMPTY)
		}
		m.disk.rename(change{{dir: dir, name: name}})
		return fuse.OK
	})
}

func (m *mounted) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return m.remove(h, name)
}
func (m *mounted) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return m.remove(h, name)
}

func (m *mounted) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	return m.call(&in.InHeader, true, func(dir *node) fuse.Status {
		n, target := dir.names[from], m.disk.nodes[in.Newdir]
		if n == nil || target == nil || in.Flags != 0 {
			return fuse.ENOENT
		}
		m.disk.rename(change{{dir: dir, name: from}, {dir: target, name: to, to: n}})
		return fuse.OK
	})
}

func (m *mounted) Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.OK }

func (m *mounted) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	var got []byte
	status := m.call(&in.InHeader, false, func(n *node) fuse.Status {
		from := min(in.Offset, uint64(len(n.data)))
		got = slices.Clone(n.data[from:min(from+uint64(len(buf)), uint64(len(n.data)))])
		return fuse.OK
	})
	return fuse.ReadResultData(got), status
}

func (m *mounted) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	return uint32(len(data)), m.call(&in.InHeader, true, func(n *node) fuse.Status {
		m.disk.write(n, write{at: int64(in.Offset), data: slices.Clone(data)})
		if in.Flags&syscall.O_DSYNC != 0 { // O_SYNC includes it
			m.disk.sync(n)
		}
		return fuse.OK
	})
}

func (m *mounted) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

func (m *mounted) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (m *mounted) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return m.call(&in.InHeader, true, func(n *node) fuse.Status {
		if !m.disk.beforeSync(n) {
			return fuse.EIO
		}
		m.disk.sync(n)
		return fuse.OK
	})
}

func (m *mounted) FsyncDir(stop <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return m.Fsync(stop, in)
}

func (m *mounted) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return m.call(&in.InHeader, false, func(dir *node) fuse.Status {
		m.next++
		out.Fh = m.next
		var list []fuse.DirEntry
		for name, n := range dir.names {
			var a fuse.Attr
			n.attr(&a)
			list = append(list, fuse.DirEntry{Name: name, Mode: a.Mode, Ino: n.ino})
		}
		m.lists[out.Fh] = list
		return fuse.OK
	})
}

func (m *mounted) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return m.call(&in.InHeader, false, func(*node) fuse.Status {
		list := m.lists[in.Fh]
		for i := in.Offset; i < uint64(len(list)); i++ {
			list[i].Off = i + 1
			if !out.AddDirEntry(list[i]) {
				break
			}
		}
		return fuse.OK
	})
}

// StatFs says that there is plenty of room.
func (m *mounted) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize, out.NameLen = page, page, 255
	out.Blocks, out.Bfree, out.Bavail = 1<<24, 1<<24, 1<<24
	out.Files, out.Ffree = 1<<20, 1<<20
	return fuse.OK
}
