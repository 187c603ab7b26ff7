# syntax=docker/dockerfile:1
#
# CPU:  docker build -t inference-server .
# CUDA: docker build -t inference-server:cuda --build-arg OnnxRuntime=Gpu .
#
# Run:  docker run --read-only --tmpfs /tmp -p 8080:8080 -v "$PWD/models:/models:ro" --memory 2g --stop-timeout 60 inference-server
#       (running requests have 30 s to finish, and docker's own patience is 10 s)

# Cpu or Gpu: which ONNX Runtime package is built in, and which image it runs on (stage names are not case-sensitive).
ARG OnnxRuntime=Cpu
# The CUDA and cuDNN libraries that Microsoft.ML.OnnxRuntime.Gpu was built against.
ARG CudaImage=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04

FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
ARG OnnxRuntime
WORKDIR /source
# The projects first: the restore stays cached until a package changes.
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig ./
COPY src/InferenceServer/InferenceServer.csproj src/InferenceServer/
COPY src/InferenceServer.Engine/InferenceServer.Engine.csproj src/InferenceServer.Engine/
RUN dotnet restore src/InferenceServer -p:OnnxRuntime=${OnnxRuntime}
COPY src src
RUN dotnet publish src/InferenceServer -c Release --no-restore -o /app -p:OnnxRuntime=${OnnxRuntime}

FROM mcr.microsoft.com/dotnet/aspnet:10.0 AS runtime-cpu

FROM ${CudaImage} AS runtime-gpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3t64 libstdc++6 tzdata \
    && rm -rf /var/lib/apt/lists/*
COPY --from=mcr.microsoft.com/dotnet/aspnet:10.0 /usr/share/dotnet /usr/share/dotnet
RUN ln -s /usr/share/dotnet/dotnet /usr/bin/dotnet

FROM runtime-${OnnxRuntime} AS final
WORKDIR /app
COPY --from=build /app ./
COPY models /models
# Port 8080 serves; 8081 answers probes, with connections of its own, and is not to be published.
# In a container the log is compact JSON. Diagnostics would write a socket and dumps into /tmp; the root file system may be read-only.
# The managed heap (bodies, texts, tokens, answers) may take 40 % of the container's memory; the number is hexadecimal. The rest is what the garbage
# collector does not see: weights, mapped once for all runs, the memory of ONNX Runtime's runs, code and threads, and /tmp where it is a tmpfs. The runtime's own
# bound of 75 % would leave these too little, and the kernel would end the process; at 40 % a request fails first.
ENV ASPNETCORE_HTTP_PORTS="" \
    ASPNETCORE_URLS=http://+:8080 \
    Health__Url=http://+:8081 \
    DOTNET_GCHeapHardLimitPercent=0x28 \
    DOTNET_EnableDiagnostics=0 \
    DOTNET_CLI_TELEMETRY_OPTOUT=1 \
    DOTNET_RUNNING_IN_CONTAINER=true
VOLUME /models
EXPOSE 8080 8081
# A number, so that Kubernetes can see that it is not root.
USER 1654:1654
STOPSIGNAL SIGTERM
# Ready, asked by bash itself: the image needs neither curl nor wget.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8081 && printf 'GET /health/ready HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r status <&3 && [[ $status == *' 200 '* ]]"]
ENTRYPOINT ["dotnet", "InferenceServer.dll"]
CMD ["--models", "/models"]
