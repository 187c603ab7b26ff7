using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Engine.Tasks.Rerank;
using InferenceServer.Engine.Tasks.Similarity;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Embeddings;

/// <summary>ColBERT folders as PyLate writes them: a vector for each token, marks, expansion, the skip list, MaxSim.</summary>
public sealed class TokenVectorsTests
{
    private const string Source = "bert-embed-cls-dense";
    private const float Tolerance = 1e-4f;
    private const int QueryLength = 20;

    [Fact]
    public async Task Every_token_goes_through_the_dense_module_and_gets_unit_length()
    {
        await using var folder = await Colbert();
        var expected = Expected.Of(Source);
        var weights = SafeTensors.Open(Path.Combine(TestData.Zoo, Source, "2_Dense", "model.safetensors"), "model.safetensors");
        var (matrix, bias) = (weights.Read("linear.weight")!.Value, weights.Read("linear.bias")!.Value.Values);
        var (size, inner) = (matrix.Shape[0], matrix.Shape[1]);
        for (var one = 0; one < 2; one++)
        {
            var states = expected.Tensor($"case{one}.last_hidden_state")!;
            var item = await Embed(folder.Model, TextInput.Of(expected.Cases[one].GetProperty("text").GetString()!), null);
            Assert.Equal(states.Length / inner, item.Embeddings!.Count);
            for (var t = 0; t < item.Embeddings.Count; t++)
            {
                double[] right = [.. Enumerable.Range(0, size).Select(o => Math.Tanh(bias[o] + Enumerable.Range(0, inner).Sum(k => (double)matrix.Values[(o * inner) + k] * states[(t * inner) + k])))];
                var norm = Math.Sqrt(right.Sum(x => x * x));
                Assert.All(item.Embeddings[t].ToFloats().Zip(right), pair => Assert.Equal(pair.Second / norm, pair.First, Tolerance));
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_query_is_marked_behind_its_first_token_and_filled_up_with_masks(bool attends)
    {
        await using var folder = await Colbert(settings => settings["attend_to_expansion_tokens"] = attends);
        var model = folder.Model;
        const string Text = "The server.";
        var query = await Embed(model, TextInput.Of(Text), "query");
        var plain = model.Tokenizer.Encode(Text).Ids;
        int[] marked = [plain[0], model.Tokenizer.TokenToId(Mark(model, 0))!.Value, .. plain[1..]];
        int[] filled = [.. marked, .. Enumerable.Repeat(model.Tokenizer.Named.Mask!.Id, QueryLength - marked.Length)];
        Assert.Equal(filled.Select(id => model.Tokenizer.IdToToken(id)), query.Tokens);
        Assert.Equal(QueryLength, query.Embeddings!.Count);
        Assert.Equal(QueryLength, query.TokenCount);

        // The tokens of the text do not see the masks, unless the folder says so.
        var reference = await Embed(model, TextInput.OfIds(attends ? filled : marked), null);
        Assert.All(reference.Embeddings!.Zip(query.Embeddings), pair => Assert.True(ReferenceCases.Difference(pair.First.ToFloats(), pair.Second.ToFloats()) < Tolerance));
        var other = await Embed(model, TextInput.OfIds(attends ? marked : filled), null);
        Assert.Contains(other.Embeddings!.Zip(query.Embeddings), pair => ReferenceCases.Difference(pair.First.ToFloats(), pair.Second.ToFloats()) > Tolerance);
    }

    [Fact]
    public async Task Without_expansion_a_query_has_its_own_tokens_alone()
    {
        await using var folder = await Colbert(settings => settings["do_query_expansion"] = false);
        Assert.Equal(folder.Model.Tokenizer.Encode("The server.").Length + 1, (await Embed(folder.Model, TextInput.Of("The server."), "query")).Embeddings!.Count);
    }

    [Fact]
    public async Task A_document_is_marked_and_its_skipped_words_have_no_vector()
    {
        await using var folder = await Colbert(settings => settings["document_length"] = 12);
        var model = folder.Model;
        var document = await Embed(model, TextInput.Of("The server, here."), "document");
        var plain = model.Tokenizer.Encode("The server, here.").Ids;
        int[] marked = [plain[0], model.Tokenizer.TokenToId(Mark(model, 1))!.Value, .. plain[1..]];
        var all = await Embed(model, TextInput.OfIds(marked), null);
        int[] kept = [.. Enumerable.Range(0, marked.Length).Where(i => model.Tokenizer.IdToToken(marked[i]) is not ("," or "."))];
        Assert.True(kept.Length == marked.Length - 2);
        Assert.Equal(kept.Select(i => model.Tokenizer.IdToToken(marked[i])), document.Tokens);
        Assert.All(kept.Zip(document.Embeddings!), pair => Assert.True(ReferenceCases.Difference(all.Embeddings![pair.First].ToFloats(), pair.Second.ToFloats()) < Tolerance));

        const string Long = "A long document about servers and banks and squares, which has more tokens than the folder allows.";
        var e = await Assert.ThrowsAsync<InferenceException>(() => Embed(model, TextInput.Of(Long), "document"));
        Assert.Contains("document_length", e.Message, StringComparison.Ordinal);
        var cut = await new EmbeddingsTask().RunAsync(model, new EmbeddingsRequest { Inputs = [TextInput.Of(Long)], Level = EmbeddingLevel.Token, PromptName = "document", Truncate = true }, new RequestContext());
        Assert.Equal((12, true), (cut.Items[0].TokenCount, cut.Items[0].Truncated));
    }

    [Fact]
    public async Task Texts_are_compared_by_the_best_match_of_each_token_of_the_query()
    {
        await using var folder = await Colbert();
        string[] texts = ["Who answers?", "The server answers, always.", "O banco da praça estava sujo."];
        var query = (await Embed(folder.Model, TextInput.Of(texts[0]), "query")).Embeddings!.Select(v => v.ToFloats()).ToArray();
        var right = new List<double>();
        foreach (var text in texts[1..])
        {
            var document = (await Embed(folder.Model, TextInput.Of(text), "document")).Embeddings!.Select(v => v.ToFloats()).ToArray();
            right.Add(query.Sum(q => document.Max(d => q.Zip(d).Sum(pair => (double)pair.First * pair.Second))));
        }

        var similar = await new SimilarityTask().RunAsync(folder.Model, new SimilarityRequest { Source = texts[0], Sentences = texts[1..] }, new RequestContext());
        Assert.Equal("maxsim", similar.Function);
        Assert.All(similar.Scores.Zip(right), pair => Assert.Equal(pair.Second, pair.First, 1e-3));
        var ranked = await new RerankTask().RunAsync(folder.Model, new RerankRequest { Query = texts[0], Documents = texts[1..] }, new RequestContext());
        Assert.All(ranked.Results, result => Assert.Equal(right[result.Index], result.Score, 1e-3));
    }

    [Fact]
    public async Task The_folder_makes_no_vector_of_the_text_and_tells_marks_that_its_tokenizer_lacks()
    {
        await using var folder = await Colbert(settings =>
        {
            settings["query_prefix"] = "[Q] ";
            settings["document_prefix"] = "";
        });
        Assert.Contains(folder.Status.Notes, note => note.Contains("'[Q] '", StringComparison.Ordinal) && note.Contains("level token", StringComparison.Ordinal));
        var e = await Assert.ThrowsAsync<InferenceException>(() => new EmbeddingsTask().RunAsync(folder.Model, new EmbeddingsRequest { Inputs = [TextInput.Of("The server.")] }, new RequestContext()));
        Assert.Equal(nameof(EmbeddingsRequest.Level), e.Argument!.ToString());
        Assert.Equal(QueryLength, (await Embed(folder.Model, TextInput.Of("The server."), "query")).Embeddings!.Count);
    }

    [Fact]
    public async Task A_folder_of_Stanfords_is_read_as_PyLate_reads_it()
    {
        await using var folder = await EditedFolder.Load(Source, f =>
        {
            foreach (var file in (string[])["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"])
            {
                File.Delete(Path.Combine(f, file));
            }

            Directory.Delete(Path.Combine(f, "1_Pooling"), recursive: true);
            File.Move(Path.Combine(f, "2_Dense", "model.safetensors"), Path.Combine(f, "model.safetensors"));
            var config = JsonNode.Parse(File.ReadAllText(Path.Combine(f, "config.json")))!.AsObject();
            config["architectures"] = new JsonArray("HF_ColBERT");
            EditedFolder.Write(f, "config.json", config);
            EditedFolder.Write(f, "artifact.metadata", new JsonObject { ["query_token_id"] = Word(f, 200), ["doc_token_id"] = Word(f, 201), ["query_maxlen"] = QueryLength, ["doc_maxlen"] = 40, ["dim"] = 24 });
        });
        var query = await Embed(folder.Model, TextInput.Of("The server."), "query");
        Assert.Equal(QueryLength, query.Embeddings!.Count);
        Assert.Equal(Mark(folder.Model, 0), query.Tokens![1]);
        Assert.All(query.Embeddings, vector => Assert.Equal((24, 1f), (vector.Count, MathF.Round(MathF.Sqrt(vector.ToFloats().Sum(x => x * x)), 4))));

        await using var without = await EditedFolder.Load(Source, f =>
        {
            File.Delete(Path.Combine(f, "modules.json"));
            Directory.Delete(Path.Combine(f, "1_Pooling"), recursive: true);
            var config = JsonNode.Parse(File.ReadAllText(Path.Combine(f, "config.json")))!.AsObject();
            config["architectures"] = new JsonArray("HF_ColBERT");
            EditedFolder.Write(f, "config.json", config);
        });
        Assert.DoesNotContain(without.Model.Capabilities.Tasks, task => task is EmbeddingsTask or RerankTask);
        Assert.Contains("linear.weight", new EmbeddingsTask().WhyNot(without.Model), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_dense_module_before_the_pooling_works_on_every_token()
    {
        await using var folder = await EditedFolder.Load(Source, f =>
        {
            EditedFolder.WriteModules(f, ("sentence_transformers.models.Transformer", ""), ("sentence_transformers.models.Dense", "2_Dense"), ("sentence_transformers.models.Pooling", "1_Pooling"));
            var dense = JsonNode.Parse(File.ReadAllText(Path.Combine(f, "2_Dense", "config.json")))!.AsObject();
            dense["module_input_name"] = "token_embeddings";
            EditedFolder.Write(f, "2_Dense/config.json", dense);
            EditedFolder.Write(f, "1_Pooling/config.json", new JsonObject { ["pooling_mode"] = "mean" });
        });
        var tokens = (await Embed(folder.Model, TextInput.Of("The server answers."), null)).Embeddings!.Select(v => v.ToFloats()).ToArray();
        var vector = (await new EmbeddingsTask().RunAsync(folder.Model, new EmbeddingsRequest { Inputs = [TextInput.Of("The server answers.")] }, new RequestContext())).Items[0].Embedding!.ToFloats();
        Assert.Equal(24, vector.Length);
        Assert.All(vector.Select((value, d) => (value, Mean: tokens.Average(t => t[d]))), pair => Assert.Equal(pair.Mean, pair.value, Tolerance));
    }

    // Two tokens of the vocabulary stand for the marks, as in a tokenizer that has them.
    private static string Mark(Model model, int which) => model.Tokenizer.IdToToken(200 + which)!;

    private static string Word(string folder, int id)
    {
        using var tokenizer = System.Text.Json.JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "tokenizer.json")));
        return tokenizer.RootElement.GetProperty("model").GetProperty("vocab").EnumerateObject().First(p => p.Value.GetInt32() == id).Name;
    }

    private static Task<EditedFolder> Colbert(Action<JsonObject>? change = null) => EditedFolder.Load(Source, folder =>
    {
        EditedFolder.WriteModules(folder, ("sentence_transformers.models.Transformer", ""), ("pylate.models.Dense.Dense", "2_Dense"));
        var settings = new JsonObject { ["query_prefix"] = Word(folder, 200), ["document_prefix"] = Word(folder, 201), ["query_length"] = QueryLength, ["document_length"] = 40 };
        change?.Invoke(settings);
        EditedFolder.Write(folder, "config_sentence_transformers.json", settings);
    });

    private static async Task<EmbeddingItem> Embed(Model model, TextInput text, string? promptName) =>
        (await new EmbeddingsTask().RunAsync(model, new EmbeddingsRequest { Inputs = [text], Level = EmbeddingLevel.Token, PromptName = promptName }, new RequestContext())).Items[0];
}
