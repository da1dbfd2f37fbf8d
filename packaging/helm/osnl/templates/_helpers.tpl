{{/* The name of a Service has at most 63 characters, "-admin" among them. */}}
{{- define "osnl.fullname" -}}
{{- $name := eq .Release.Name .Chart.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{ $name | trunc 57 | trimSuffix "-" }}
{{- end -}}

{{- define "osnl.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "osnl.labels" -}}
{{ include "osnl.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "osnl.image" -}}
{{- $repository := required "image.repository is missing: name the image that you pushed, such as registry.example.com/osnl" .Values.image.repository -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The secret and the key with a listener's transport_url, as YAML: (list NAME LISTENER CONTEXT). */}}
{{- define "osnl.urlSecret" -}}
{{- $name := index . 0 -}}
{{- $listener := index . 1 -}}
{{- $fullname := include "osnl.fullname" (index . 2) -}}
{{- if $listener.secret -}}
name: {{ $listener.secret.name }}
key: {{ $listener.secret.key }}
{{- else if $listener.endpoint -}}
name: {{ $fullname }}-transport-urls
key: {{ $name }}
{{- else -}}
name: rabbitmq-transport-url-{{ $fullname }}-{{ $name }}
key: transport_url
{{- end -}}
{{- end -}}

{{/* The URL of an endpoint, as helm-toolkit's authenticated_transport_endpoint_uri_lookup makes it: (list NAME CONTEXT). */}}
{{- define "osnl.transportURL" -}}
{{- $name := index . 0 -}}
{{- $context := index . 1 -}}
{{- $endpoints := $context.Values.endpoints -}}
{{- $endpoint := required (printf "endpoints.%s is missing" $name) (get $endpoints $name) -}}
{{- $user := required (printf "endpoints.%s.auth.osnl is missing: username and password" $name) (get ($endpoint.auth | default dict) "osnl") -}}
{{- $port := get ($endpoint.port.amqp | default dict) "internal" | default $endpoint.port.amqp.default -}}
{{- $overrides := $endpoint.host_fqdn_override | default dict -}}
{{- $override := get $overrides "internal" | default (get $overrides "default") -}}
{{- if kindIs "map" $override }}{{ $override = $override.host }}{{ end -}}
{{- $namespace := $endpoint.namespace | default $context.Release.Namespace -}}
{{- $host := get $endpoint.hosts "internal" | default $endpoint.hosts.default -}}
{{- $host = $override | default (printf "%s.%s.svc.%s" $host $namespace ($endpoints.cluster_domain_suffix | default "cluster.local")) -}}
{{- $hosts := list -}}
{{- if and $endpoint.statefulset (not $override) -}}
{{- range until (int $endpoint.statefulset.replicas) -}}
{{- $hosts = append $hosts (printf "%s-%d.%s" $endpoint.statefulset.name . $host) -}}
{{- end -}}
{{- else -}}
{{- $hosts = list $host -}}
{{- end -}}
{{- $authorities := list -}}
{{- range $hosts -}}
{{- $authorities = append $authorities (printf "%s:%s@%s:%d" $user.username $user.password . (int $port)) -}}
{{- end -}}
{{- $endpoint.scheme | default "rabbit" }}://{{ join "," $authorities }}{{ $endpoint.path | default "/" }}
{{- end -}}

{{- define "osnl.conf" -}}
[admin]
listen = 0.0.0.0:{{ .Values.admin.port }}
tls_certificate = /etc/osnl/tls/tls.crt
tls_key = /etc/osnl/tls/tls.key
token = file:///etc/osnl/secrets/admin.token
{{- if .Values.caBundle }}

[oslo_messaging_rabbit]
ssl_ca_file = /etc/osnl/ca/bundle.pem
{{- end }}
{{- range $name, $listener := .Values.listeners }}

[listener:{{ $name }}]
transport_url = file:///etc/osnl/secrets/{{ $name }}.url
exchange = {{ join ", " $listener.exchanges }}
{{- range $option, $value := merge (dict) ($listener.options | default dict) (dict "pool" "osnl") }}
{{ $option }} = {{ if kindIs "slice" $value }}{{ join ", " $value }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{- end }}

{{ .Values.conf }}
{{- end -}}

{{/* The files of a container: configuration, secrets, and certificates, without the journal. */}}
{{- define "osnl.mounts" -}}
- name: configuration
  mountPath: /etc/osnl/osnl.conf
  subPath: osnl.conf
  readOnly: true
- name: secrets
  mountPath: /etc/osnl/secrets
  readOnly: true
- name: tls
  mountPath: /etc/osnl/tls
  readOnly: true
{{- if .Values.caBundle }}
- name: ca
  mountPath: /etc/osnl/ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "osnl.volumes" -}}
- name: configuration
  configMap:
    name: {{ include "osnl.fullname" . }}
# Not by subPath: a changed secret reaches the running daemon, which reads it again when a login fails.
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ .Values.admin.tokenSecret.name }}
          items:
            - key: {{ .Values.admin.tokenSecret.key }}
              path: admin.token
      {{- range $name, $listener := .Values.listeners }}
      {{- $secret := include "osnl.urlSecret" (list $name $listener $) | fromYaml }}
      - secret:
          name: {{ $secret.name }}
          items:
            - key: {{ $secret.key }}
              path: {{ $name }}.url
      {{- end }}
      {{- range .Values.secrets }}
      - secret:
          name: {{ .name }}
          items:
            - key: {{ .key }}
              path: {{ .file }}
      {{- end }}
- name: tls
  secret:
    secretName: {{ .Values.admin.tlsSecret }}
    defaultMode: 0440
{{- with .Values.caBundle }}
- name: ca
  {{- if .configMap }}
  configMap:
    name: {{ .configMap }}
  {{- else }}
  secret:
    secretName: {{ .secret }}
  {{- end }}
    items:
      - key: {{ .key }}
        path: bundle.pem
{{- end }}
{{- end -}}
