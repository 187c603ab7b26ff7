using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>Every answer has exactly the documented fields: other programs are written against them.</summary>
[Collection(ServerCollection.Name)]
public sealed class ShapeTests(DemoServer demo, ZooServer zoo)
{
    private const string Sentence = "O banco da praça estava sujo, então fui ao banco sacar dinheiro.";

    [Fact]
    public async Task Models()
    {
        var list = (await demo.Client.ReadAsync("/api/models")).Ok;
        Assert.Equal("models", list.Names());
        Assert.Equal(["demo-bert", "demo-gpt", "demo-language", "demo-translator"], list["models"]!.AsArray().Select(m => m!["id"]!.GetValue<string>()).Order());
        string[] always = ["architecture", "dtype", "file", "heads", "hidden_size", "id", "layers", "max_tokens", "provider", "sha256", "state", "tasks", "threads", "workers"];
        foreach (var model in list["models"]!.AsArray())
        {
            var names = model!.Names().Split(' ');
            Assert.Empty(always.Except(names));
            Assert.Equal("ready", model!["state"]!.GetValue<string>());
            Assert.Matches("^[0-9a-f]{64}$", model["sha256"]!.GetValue<string>());
            var one = (await demo.Client.ReadAsync($"/api/models/{model["id"]}")).Ok;
            Assert.Equal(model.ToJsonString(), one.ToJsonString());
        }

        var translator = list["models"]!.AsArray().First(m => m!["id"]!.GetValue<string>() == "demo-translator")!;
        Assert.Equal(["attention", "detokenize", "generation", "tokenize"], translator["tasks"]!.AsArray().Select(t => (string)t!).Order());
        var bert = list["models"]!.AsArray().First(m => m!["id"]!.GetValue<string>() == "demo-bert")!;
        Assert.Equal((192, 4, 6, 256), ((int)bert["hidden_size"]!, (int)bert["layers"]!, (int)bert["heads"]!, (int)bert["max_tokens"]!));
        Assert.Contains("mean", bert["pooling"]!.ToJsonString(), StringComparison.Ordinal);
        Assert.Contains("1_Pooling", bert["pooling"]!.ToJsonString(), StringComparison.Ordinal);
        var language = list["models"]!.AsArray().First(m => m!["id"]!.GetValue<string>() == "demo-language")!;
        Assert.Equal(40, language["labels"]!.AsArray().Count);
    }

    [Fact]
    public async Task Tokenize_and_back()
    {
        var answer = (await demo.Client.PostAsync("/api/models/demo-bert/tokenize", $$"""{"inputs": ["{{Sentence}}", "😀 a"]}""")).Ok;
        Assert.Equal("items model usage", answer.Names());
        Assert.Equal("tokens", answer["usage"]!.Names());
        var item = answer["items"]![0]!;
        Assert.Equal("ids offsets special_tokens_mask tokens type_ids word_ids", item.Names());
        Assert.Equal(21, item["ids"]!.AsArray().Count);
        Assert.Equal("praça", Sentence[(int)item["offsets"]![4]![0]!..(int)item["offsets"]![4]![1]!]);
        Assert.Equal("[2,3]", answer["items"]![1]!["offsets"]![2]!.ToJsonString()); // an emoji is one code point

        var text = (await demo.Client.PostAsync("/api/models/demo-bert/detokenize", $$"""{"ids": [{{item["ids"]!.ToJsonString()}}]}""")).Ok;
        Assert.Equal("model texts", text.Names());
        Assert.Contains("o banco da praça", text["texts"]![0]!.GetValue<string>(), StringComparison.Ordinal);

        var empty = (await demo.Client.PostAsync("/api/models/demo-bert/tokenize", """{"inputs": ""}""")).Ok;
        Assert.Equal("[2,3]", empty["items"]![0]!["ids"]!.ToJsonString());
        Assert.Equal("[null,null]", empty["items"]![0]!["word_ids"]!.ToJsonString());

        var cut = (await demo.Client.PostAsync("/api/models/demo-bert/tokenize", $$"""{"inputs": "{{Sentence}}", "truncate": true, "max_length": 8, "stride": 2}""")).Ok["items"]![0]!;
        Assert.Equal("ids offsets overflow special_tokens_mask tokens type_ids word_ids", cut.Names());
        Assert.Equal("ids offsets special_tokens_mask tokens type_ids word_ids", cut["overflow"]![0]!.Names());
    }

    [Fact]
    public async Task Embeddings()
    {
        var answer = (await demo.Client.PostAsync("/api/models/demo-bert/embeddings", $$"""{"inputs": ["{{Sentence}}", "a"]}""")).Ok;
        Assert.Equal("dimensions dtype items model pooling usage", answer.Names());
        Assert.Equal((192, "float32", 2), ((int)answer["dimensions"]!, (string)answer["dtype"]!, answer["items"]!.AsArray().Count));
        Assert.Equal("embedding index tokens truncated", answer["items"]![0]!.Names());
        Assert.Equal(1f, answer["items"]![0]!["embedding"].Floats().Sum(x => x * x), 1e-4);

        var tokens = (await demo.Client.PostAsync("/api/models/demo-bert/embeddings", """{"inputs": "a b", "level": "token"}""")).Ok["items"]![0]!;
        Assert.Equal("embeddings index offsets tokens", tokens.Names());
        Assert.Equal((4, 192), (tokens["embeddings"]!.AsArray().Count, tokens["embeddings"]![0]!.AsArray().Count));

        var base64 = (await demo.Client.PostAsync("/api/models/demo-bert/embeddings", $$"""{"inputs": ["{{Sentence}}", "a"], "encoding": "base64"}""")).Ok;
        var bytes = Convert.FromBase64String(base64["items"]![0]!["embedding"]!.GetValue<string>());
        Assert.Equal(answer["items"]![0]!["embedding"].Floats(), System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes).ToArray());
    }

    [Fact]
    public async Task Predictions_of_the_demo_models()
    {
        var masks = (await demo.Client.PostAsync("/api/models/demo-bert/predictions", """{"inputs": "O banco da [MASK] estava sujo.", "parameters": {"top_k": 3}}""")).Ok;
        Assert.Equal("items model task usage", masks.Names());
        Assert.Equal("fill-mask", masks["task"]!.GetValue<string>());
        Assert.Equal("masks", masks["items"]![0]!.Names());
        var mask = masks["items"]![0]!["masks"]![0]!;
        Assert.Equal("candidates end position start", mask.Names());
        Assert.Equal((4, 11, 17), ((int)mask["position"]!, (int)mask["start"]!, (int)mask["end"]!));
        Assert.Equal(3, mask["candidates"]!.AsArray().Count);
        Assert.Equal("id score text token", mask["candidates"]![0]!.Names());

        var labels = (await demo.Client.PostAsync("/api/models/demo-language/predictions", $$"""{"inputs": ["{{Sentence}}"]}""")).Ok;
        Assert.Equal("text-classification", labels["task"]!.GetValue<string>());
        Assert.Equal("labels", labels["items"]![0]!.Names());
        Assert.Equal("label score", labels["items"]![0]!["labels"]![0]!.Names());
        Assert.Equal("pt", labels["items"]![0]!["labels"]![0]!["label"]!.GetValue<string>());
        Assert.Equal(0.976453, labels["items"]![0]!["labels"]![0]!["score"]!.GetValue<double>(), 1e-4);

        var next = (await demo.Client.PostAsync("/api/models/demo-gpt/predictions", """{"inputs": "O banco da praça", "parameters": {"top_k": 5}}""")).Ok;
        Assert.Equal("next-token", next["task"]!.GetValue<string>());
        Assert.Equal("candidates", next["items"]![0]!.Names());
        Assert.Equal("id logprob score text token", next["items"]![0]!["candidates"]![0]!.Names());
        Assert.Equal([14, 989, 778, 1064, 1041], next["items"]![0]!["candidates"]!.AsArray().Select(c => (int)c!["id"]!));
        Assert.Equal(-0.65131, next["items"]![0]!["candidates"]![0]!["logprob"]!.GetValue<double>(), 1e-3);
    }

    [Fact]
    public async Task Predictions_of_other_heads()
    {
        async Task<JsonNode> Ask(string model, string body) => (await zoo.Client.PostAsync($"/api/models/{model}/predictions", body)).Ok;

        var entities = await Ask("bert-ner", """{"inputs": "Ana Souza lives in Lisbon and works for the Acme company.", "parameters": {"aggregation": "simple"}}""");
        Assert.Equal(("token-classification", "entities"), ((string)entities["task"]!, entities["items"]![0]!.Names()));
        if (entities["items"]![0]!["entities"]!.AsArray() is [{ } entity, ..])
        {
            Assert.Empty(entity.Names().Split(' ').Except(["label", "score", "start", "end", "text", "token_index"]));
        }

        var answers = await Ask("bert-qa", """{"inputs": [{"question": "What does the server answer?", "context": "The server answers questions about attention."}], "parameters": {"top_k": 2}}""");
        Assert.Equal(("question-answering", "answers"), ((string)answers["task"]!, answers["items"]![0]!.Names()));
        Assert.Equal("end score start text", answers["items"]![0]!["answers"]![0]!.Names());

        var labels = await Ask("bert-nli-zero-shot", """{"inputs": "The server answers.", "task": "zero-shot", "parameters": {"candidate_labels": ["computers", "food, drink", "animals"]}}""");
        Assert.Equal(("zero-shot", "labels"), ((string)labels["task"]!, labels["items"]![0]!.Names()));
        Assert.Equal(["animals", "computers", "food, drink"], labels["items"]![0]!["labels"]!.AsArray().Select(l => (string)l!["label"]!).Order());

        var rank = (await zoo.Client.PostAsync("/api/models/bert-rerank/rerank", """{"query": "attention", "documents": ["The server answers.", "Questions about attention."], "return_documents": true}""")).Ok;
        Assert.Equal("model results usage", rank.Names());
        Assert.Equal("document index score", rank["results"]![0]!.Names());
        Assert.True((float)rank["results"]![0]!["score"]! >= (float)rank["results"]![1]!["score"]!);
    }

    [Fact]
    public async Task Similarity_and_its_explanation()
    {
        var answer = (await demo.Client.PostAsync("/api/models/demo-bert/similarity", """{"source": "The cat sleeps on the sofa", "sentences": ["O gato dorme no sofá", "The girl gave the book to the teacher."], "explain": true}""")).Ok;
        Assert.Equal("explanations model scores usage", answer.Names());
        Assert.Equal("contributions sentence_tokens source_tokens", answer["explanations"]![0]!.Names());
        Assert.Equal("end start token", answer["explanations"]![0]!["source_tokens"]![0]!.Names());
        Assert.Equal(0.73, (double)answer["scores"]![0]!, 0.01);
        for (var i = 0; i < 2; i++)
        {
            var sum = answer["explanations"]![i]!["contributions"]!.AsArray().Sum(row => row!.AsArray().Sum(c => (double)c!));
            Assert.Equal((double)answer["scores"]![i]!, sum, 1e-5);
        }

        var plain = (await demo.Client.PostAsync("/api/models/demo-bert/similarity", """{"source": "a", "sentences": ["b"]}""")).Ok;
        Assert.Equal("model scores usage", plain.Names());
    }

    [Fact]
    public async Task Attention()
    {
        var answer = (await demo.Client.PostAsync("/api/models/demo-bert/attention", $$"""{"text": "{{Sentence}}", "layers": [1, 3], "heads": [0, 5]}""")).Ok;
        Assert.Empty("attention axes dtype heads kind layers model provenance shape tokens usage".Split(' ').Except(answer.Names().Split(' ')));
        Assert.Equal("""["layer","head","query","key"]""", answer["axes"]!.ToJsonString());
        Assert.Equal("[2,2,21,21]", answer["shape"]!.ToJsonString());
        Assert.Equal(("[1,3]", "[0,5]", "encoder"), (answer["layers"]!.ToJsonString(), answer["heads"]!.ToJsonString(), (string)answer["kind"]!));
        Assert.Equal("end id segment special start text token", answer["tokens"]![0]!.Names());
        Assert.True((bool)answer["tokens"]![0]!["special"]!);
        Assert.Equal("file sha256 tensors", answer["provenance"]!.Names());
        foreach (var row in answer["attention"]!.AsArray().SelectMany(l => l!.AsArray()).SelectMany(h => h!.AsArray()))
        {
            Assert.Equal(1, row!.AsArray().Sum(p => (double)p!), 1e-4);
        }

        foreach (var token in answer["tokens"]!.AsArray().Where(t => !(bool)t!["special"]!))
        {
            var letters = Sentence[(int)token!["start"]!..(int)token["end"]!];
            Assert.Equal(((string)token["token"]!).Replace("##", "", StringComparison.Ordinal), letters.ToLowerInvariant());
        }

        var causal = (await demo.Client.PostAsync("/api/models/demo-gpt/attention", """{"text": "O banco da praça"}""")).Ok;
        Assert.Equal(("decoder", "[4,6,4,4]"), ((string)causal["kind"]!, causal["shape"]!.ToJsonString()));
        Assert.Equal(0, (double)causal["attention"]![0]![0]![0]![3]!);

        var translator = (await demo.Client.PostAsync("/api/models/demo-translator/attention", """{"text": "The bench in the square was dirty.", "kind": "encoder"}""")).Ok;
        Assert.Equal("encoder", (string)translator["kind"]!);
    }

    [Fact]
    public async Task Health()
    {
        Assert.Equal(200, (await demo.Client.ReadAsync("/health/live")).Status);
        Assert.Equal(200, (await demo.Client.ReadAsync("/health/ready")).Status);
        Assert.Equal(200, (await demo.Client.ReadAsync("/health/ready/demo-bert")).Status);
        Assert.Equal(404, (await demo.Client.ReadAsync("/health/ready/nothing")).Status);
    }

    [Fact]
    public async Task Every_inference_carries_its_headers()
    {
        (string Path, string Body)[] calls =
        [
            ("demo-bert/embeddings", """{"inputs": ["a", "b"]}"""), ("demo-bert/predictions", """{"inputs": "a [MASK]"}"""),
            ("demo-bert/attention", """{"text": "a"}"""), ("demo-language/predictions", """{"inputs": "a"}"""), ("demo-gpt/predictions", """{"inputs": "a"}"""),
            ("demo-bert/rerank", """{"query": "a", "documents": ["b"]}"""), ("demo-bert/similarity", """{"source": "a", "sentences": ["b"]}"""),
        ];
        foreach (var (path, body) in calls)
        {
            var answer = await demo.Client.PostAsync("/api/models/" + path, body);
            Assert.True(answer.Status == 200, $"{path}: {answer.Status} {answer.Body}");
            foreach (var header in (string[])["x-request-id", "x-model", "x-tokenize-ms", "x-queue-ms", "x-inference-ms", "x-batch-size", "x-tokens"])
            {
                Assert.True(answer.Headers.TryGetValues(header, out var values), $"{path} has no {header}");
                if (header is not ("x-request-id" or "x-model"))
                {
                    Assert.True(double.Parse(values!.Single(), System.Globalization.CultureInfo.InvariantCulture) >= (header is "x-batch-size" or "x-tokens" ? 1 : 0), $"{path} {header}");
                }
            }

            Assert.Equal(path.Split('/')[0], answer.Headers.GetValues("x-model").Single());
            Assert.Equal(answer.Json["usage"]!["tokens"]!.ToString(), answer.Headers.GetValues("x-tokens").Single());
        }
    }

    [Fact]
    public async Task The_clients_request_id_is_kept_when_it_is_sane()
    {
        async Task<string> Id(string id)
        {
            var request = new HttpRequestMessage(HttpMethod.Get, "/api/models");
            request.Headers.TryAddWithoutValidation("x-request-id", id);
            return (await demo.Client.AskAsync(request)).Headers.GetValues("x-request-id").Single();
        }

        Assert.Equal("order-66.a", await Id("order-66.a"));
        Assert.NotEqual("two words", await Id("two words"));
        Assert.NotEqual(new string('x', 5000), await Id(new string('x', 5000)));
    }
}
