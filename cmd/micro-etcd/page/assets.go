package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets
var embedded embed.FS

// asset is a file of the page.
type asset struct {
	data []byte
	kind string
	tag  string
}

// loadAssets returns the embedded files by the path that they are served at.
func loadAssets() (map[string]asset, error) {
	files, err := fs.Sub(embedded, "assets")
	if err != nil {
		return nil, err
	}
	assets := make(map[string]asset)
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		assets["/"+strings.TrimSuffix(name, "index.html")] = asset{
			data: data, kind: contentType(name), tag: `"` + hex.EncodeToString(sum[:8]) + `"`,
		}
		return nil
	})
	return assets, err
}

// contentType doesn't ask the system for types of its own, as mime does, where it matters.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

func serveAssets(assets map[string]asset) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		file, ok := assets[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", file.kind)
		w.Header().Set("ETag", file.tag)
		w.Header().Set("Cache-Control", "no-cache") // asked for again each time, answered with 304
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.data))
	}
}
