{{/*
"true" where nodes must read pods, because their runtime passes no annotations. With `auto` the Nodes of the cluster decide,
which Helm asks for at each install and upgrade; a plain `helm template` has no cluster to ask.
*/}}
{{- define "manifold.shimReadsPods" -}}
{{- $given := toString .Values.node.podAnnotations -}}
{{- $reads := eq $given "false" -}}
{{- if eq $given "auto" -}}
{{- range (lookup "v1" "Node" "" "").items -}}
{{- $runtime := dig "status" "nodeInfo" "containerRuntimeVersion" "" . -}}
{{- if and $runtime (not (hasPrefix "containerd://" $runtime)) -}}
{{- $reads = true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $reads }}true{{ end -}}
{{- end -}}
