// Renders a chart as `helm template` does, for machines that can't get helm: the same template engine, and the same
// library of functions (sprig), with what helm adds to them (pkg/engine/funcs.go) as far as our chart uses it.
//
//	render CHART RELEASE NAMESPACE KUBERNETES [VALUES-FILE]
//
// Values and their schema are not checked: `cargo xtask lint` does that.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"github.com/ghodss/yaml"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 5 {
		log.Fatal("usage: render CHART RELEASE NAMESPACE KUBERNETES [VALUES-FILE]")
	}
	chart, release, namespace, kubernetes := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	values := read(filepath.Join(chart, "values.yaml"))
	if len(os.Args) > 5 {
		merge(values, read(os.Args[5]))
	}
	meta := read(filepath.Join(chart, "Chart.yaml"))
	context := map[string]interface{}{
		"Values": values,
		"Chart":  map[string]interface{}{"Name": meta["name"], "Version": meta["version"], "AppVersion": meta["appVersion"]},
		"Capabilities": map[string]interface{}{
			"KubeVersion": map[string]interface{}{"Version": "v" + kubernetes},
		},
		"Release": map[string]interface{}{"Name": release, "Namespace": namespace, "Service": "Helm"},
	}
	for _, manifest := range render(filepath.Join(chart, "templates"), context) {
		fmt.Print(manifest)
	}
}

// render returns the manifests in the order of their files. Notes are rendered too, and left out.
func render(directory string, context interface{}) []string {
	files, err := filepath.Glob(filepath.Join(directory, "*"))
	check(err)
	sort.Strings(files)
	root := template.New("chart").Option("missingkey=error")
	root.Funcs(sprig.TxtFuncMap()).Funcs(template.FuncMap{
		"include": func(name string, data interface{}) (string, error) {
			var text bytes.Buffer
			err := root.ExecuteTemplate(&text, name, data)
			return text.String(), err
		},
		"toYaml": func(value interface{}) (string, error) {
			text, err := yaml.Marshal(value)
			return strings.TrimSuffix(string(text), "\n"), err
		},
	})
	for _, file := range files {
		text, err := os.ReadFile(file)
		check(err)
		template.Must(root.New(filepath.Base(file)).Parse(string(text)))
	}
	var manifests []string
	for _, file := range files {
		name := filepath.Base(file)
		var text bytes.Buffer
		check(root.ExecuteTemplate(&text, name, context))
		body := strings.TrimSpace(text.String())
		if filepath.Ext(name) == ".yaml" && body != "" {
			manifests = append(manifests, "---\n"+body+"\n")
		}
	}
	return manifests
}

// merge puts the values of a file over the chart's own.
func merge(values, over map[string]interface{}) {
	for key, value := range over {
		below, isMap := values[key].(map[string]interface{})
		if inner, ok := value.(map[string]interface{}); ok && isMap {
			merge(below, inner)
		} else {
			values[key] = value
		}
	}
}

func read(path string) map[string]interface{} {
	text, err := os.ReadFile(path)
	check(err)
	var value map[string]interface{}
	check(yaml.Unmarshal(text, &value))
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
